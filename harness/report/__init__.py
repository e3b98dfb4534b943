"""The verdict as JSON and as text."""
