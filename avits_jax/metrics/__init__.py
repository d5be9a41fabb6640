"""Metrics of sets of clips, not of single ones."""
