"""Looking inside: what a trained network does on a text, step by step, and how its gradient flows."""
