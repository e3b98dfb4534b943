"""Everything that is shown as HTML: a run, a set of runs, a comparison."""
