"""Networks that are ported, each beside its PyTorch original, for timing."""
