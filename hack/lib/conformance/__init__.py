"""What hack/conformance runs: the Autobahn WebSocket cases here, raw HTTP/1.1 in `wire`, real clients in `through`."""
