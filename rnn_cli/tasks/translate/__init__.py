"""Translating: a target for each source, of another length (many to many)."""
