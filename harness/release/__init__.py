"""A release against the one before it: one page, one verdict."""
