"""A character-level language model at the command line."""

