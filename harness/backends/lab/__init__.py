"""The backend `lab`: real networks without root, in one user, pid and network namespace."""
