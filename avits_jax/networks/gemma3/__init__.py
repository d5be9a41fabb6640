"""Gemma-3's text model."""
