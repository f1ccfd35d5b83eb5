"""The demonstration: a private cluster, a gateway, an agent and an application, started, shown and checked."""
