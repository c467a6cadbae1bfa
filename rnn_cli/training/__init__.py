"""Training: the loop, its configuration and its state, for any task."""
