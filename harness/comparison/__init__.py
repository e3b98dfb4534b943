"""Two sets of runs compared: what changed, how sure that is, and whether it matters."""
