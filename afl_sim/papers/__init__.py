"""Reproductions of published figures and tables: reported beside measured, one command each."""
