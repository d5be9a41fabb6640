"""Audiobox aesthetics: how people would score a sound, by itself, on four axes."""
