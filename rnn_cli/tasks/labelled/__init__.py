"""One to many: a text from a label."""
