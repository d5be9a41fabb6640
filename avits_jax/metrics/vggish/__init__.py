"""VGGish: features of FD_VGG, one row for every 0.96 s of sound."""
