"""rnn train."""
