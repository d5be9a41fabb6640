"""DeSync: by how many seconds picture and sound are apart, by Synchformer."""
