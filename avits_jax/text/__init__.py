"""Text as token ids: tokenizers, prompts, captions."""
