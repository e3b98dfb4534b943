"""Judges of a history: one file per judge."""
