"""A client's task from download to upload: how long it takes, and what can go wrong."""
