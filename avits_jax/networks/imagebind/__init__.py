"""ImageBind's towers: picture, sound, text."""
