"""What is known of every model and verifier."""
