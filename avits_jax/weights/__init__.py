"""Weights as files: checkpoints, parts of models, name maps, sizes."""
