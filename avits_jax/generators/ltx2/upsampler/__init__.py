"""LTX-2's upsamplers: video latents to more pixels or more frames, as latents."""
