"""Importers: fleets that others have measured, as tables and a scenario that uses them."""
