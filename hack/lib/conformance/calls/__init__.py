"""gRPC through gateway and agent to a server of grpcio: what `hack/conformance grpc` runs."""

import os

# Handshakes that are to fail are no news.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
