"""The audio-video transformer of LTX-2 and LTX-2.3."""
