"""LTX-2's vocoder: log-mel spectrogram to stereo waveform."""
