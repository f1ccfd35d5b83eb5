"""gRPC through gateway and agent to a server of grpcio: what `hack/conformance grpc` runs."""
