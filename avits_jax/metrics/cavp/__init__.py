"""CAVP: agreement of picture and sound, quarter second by quarter second."""
