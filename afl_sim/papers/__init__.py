"""Reproductions of published figures and tables, with one command each."""
