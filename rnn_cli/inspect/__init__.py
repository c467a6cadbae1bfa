"""Seeing inside a network: what it has learned, how it reads a text, and how its training went."""
