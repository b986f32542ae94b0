"""Distributions of times and sizes: their forms in a file, and their quantile functions."""
