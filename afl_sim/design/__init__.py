"""Finds the setting of a scenario that reaches a target at the least cost."""
