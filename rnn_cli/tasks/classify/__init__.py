"""Many to one: a label from a text."""
