"""A network in Python: its configuration, its parameters, and the memory that it runs in."""
