"""When clients are available, and when they fail."""
