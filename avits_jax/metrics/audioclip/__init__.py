"""AudioCLIP's audio head: embeddings of sounds, the features of JavisBench's FAD."""
