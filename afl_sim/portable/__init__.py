"""Arithmetic whose bits are the same on every processor that can compute it."""
