"""I3D: Kinetics-400 logits of videos, the features of FVD and KVD."""
