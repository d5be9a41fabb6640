"""CLAP: agreement of a caption with sound, in one embedding space."""
