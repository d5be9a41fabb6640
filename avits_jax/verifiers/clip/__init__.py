"""CLIP: agreement of a caption with single frames, in one embedding space."""
