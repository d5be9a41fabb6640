"""ImageBind: one embedding space for frames, sound and text, and scores in it."""
