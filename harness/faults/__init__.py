"""What goes wrong: one file per fault."""
