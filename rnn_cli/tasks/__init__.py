"""Tasks beside the language model: each says what a network learns from texts, answers with it, and scores it."""
