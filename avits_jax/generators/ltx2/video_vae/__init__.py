"""The video autoencoder of LTX-2: decoder and encoder, one network each."""
