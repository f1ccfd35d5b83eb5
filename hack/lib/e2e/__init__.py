"""The end-to-end suite: what operators rely on, on the embedded API server or on any other."""
