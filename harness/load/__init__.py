"""Worker processes that hold the clients."""
