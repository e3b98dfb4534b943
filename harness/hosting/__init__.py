"""A cluster for somebody else's clients: it runs in a process of its own and is told what to do."""
