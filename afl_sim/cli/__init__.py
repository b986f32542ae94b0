"""The ``afl-sim`` command.

Each command imports what it needs when it is called, so that ``--help`` answers at once.
"""

from afl_sim.cli import designs, fleets, knowledge, results, runs  # their commands join `app`
from afl_sim.cli.app import app, main

__all__ = ["app", "designs", "fleets", "knowledge", "main", "results", "runs"]
