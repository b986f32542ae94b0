"""Executors that compute tasks in this process, one by one or in batches."""
