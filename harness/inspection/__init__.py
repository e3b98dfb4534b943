"""The inspector: what an image promises, held against what it holds and what it does."""
