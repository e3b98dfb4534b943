"""The Docker Engine: reaching it, its images, and clearing away what a dead run left."""
