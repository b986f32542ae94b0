"""The server: its inbox, what a schedule can ask of it, and its statistics."""
