"""docs/tunnel-protocol.md proved against pipeops-gateway by an agent written from the page."""
