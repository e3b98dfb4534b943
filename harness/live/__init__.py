"""The live view of a run on a terminal: state, drawing, and a screen that never blocks the run."""
