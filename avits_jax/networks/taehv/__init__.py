"""TAEHV: a tiny decoder of video latents, for looking at clips before they are done."""
