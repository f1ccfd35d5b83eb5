"""Benchmarks of the programs, each running as a process of its own."""
