"""CLIP's encoders: picture and text."""
