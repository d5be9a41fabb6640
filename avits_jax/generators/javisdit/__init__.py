"""JavisDiT v0.1: joint audio-video generation (arXiv 2503.23377)."""
