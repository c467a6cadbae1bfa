"""Output for people: text, progress and tables. The only importer of rich."""
