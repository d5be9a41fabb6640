"""PaSST: features of FD_PaSST, logits of the inception score and KL."""
