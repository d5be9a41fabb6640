"""ImageBind's encoders: picture, sound, text."""
