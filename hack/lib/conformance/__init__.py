"""The Autobahn WebSocket cases against both ends of the tunnel's WebSocket layer."""
