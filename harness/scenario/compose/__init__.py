"""Compose files as users have them, read into data that a backend can run."""
