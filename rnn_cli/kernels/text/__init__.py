"""What works on symbols of a text: sampling, scoring, n-grams, Bloom filters."""
