"""The language model: sampling, completing, predicting, scoring."""
