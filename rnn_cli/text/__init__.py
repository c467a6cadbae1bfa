"""Texts: reading, encoding, holding out, batches."""
