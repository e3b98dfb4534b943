"""Many runs, each in a process of its own: side by side, one after the other, and resumed."""
