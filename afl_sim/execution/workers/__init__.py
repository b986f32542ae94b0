"""Executors that hand tasks to other processes: a pool on this machine, or a Ray cluster."""
