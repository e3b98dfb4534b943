"""Benchmarks: what the harness costs, each figure measured against its aim."""
