"""Regular expressions that say which texts are wanted: their syntax, and automata that accept these texts."""
