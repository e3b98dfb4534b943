"""Resilience harness for NATS: real servers, real faults, every message accounted for."""

__version__ = "0.1.0"
