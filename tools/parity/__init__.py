"""Comparison of networks with goldens: arrays stored with what they must give."""
