"""Reading YAML with the line number of every key."""
