"""Built on the public classes alone: downloads, event sources, one-line requests."""
