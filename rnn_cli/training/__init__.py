"""Training: the loop, its configuration, its state, and what is chosen for the user."""
