"""T5 v1.1's encoder and decoder."""
