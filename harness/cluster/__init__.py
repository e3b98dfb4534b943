"""What is tested: nodes, their configuration and binaries, and what they say of themselves."""
