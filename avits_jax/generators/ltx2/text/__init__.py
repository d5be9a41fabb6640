"""LTX-2's text encoder: Gemma-3, features of all its states, two connectors."""
