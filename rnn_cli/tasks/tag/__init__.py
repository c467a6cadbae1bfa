"""Tagging: one tag for each token of a sentence (many to many, same length)."""
