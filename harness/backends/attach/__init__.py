"""The backend `attach`: servers that run already."""
