"""Checks of a scenario that look at several keys at once."""
