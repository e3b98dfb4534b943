"""What happened: events and message columns."""
