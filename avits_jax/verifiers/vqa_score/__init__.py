"""VQAScore: the likelihood that a vision-language model answers "Yes"."""
