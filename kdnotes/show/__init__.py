"""What a reader sees: figures with alternative text, and pages that need no network."""
