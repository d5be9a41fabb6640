"""LTX-2's autoencoder of sound: log-mel spectrogram to latents and back."""
