"""Reading published weights and writing them as checkpoints of this package."""
