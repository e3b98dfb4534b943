"""What a client does: one file per role."""
