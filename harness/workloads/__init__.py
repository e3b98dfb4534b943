"""What clients do: one file per kind of traffic."""
