"""The backend `docker`: containers as they are deployed, with faults from the outside."""
