"""Exact results about virtual time, and the runs that are compared with them.

`oracles.oracles()` is the one list: ``afl-sim theory`` prints it with fresh runs, the tests go
through it, and docs/theory.md shows it.
"""
