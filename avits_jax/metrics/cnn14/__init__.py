"""Cnn14 at 16 kHz: features of FD_PANNs, logits of the inception score and KL."""
