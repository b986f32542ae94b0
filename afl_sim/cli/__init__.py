"""The ``afl-sim`` command.

Each command imports what it needs when it is called, so that ``--help`` answers at once.
"""

from afl_sim.cli import (  # their commands join `app`
    designs,
    fleets,
    knowledge,
    reproducing,
    results,
    runs,
)
from afl_sim.cli.app import app, main

__all__ = ["app", "designs", "fleets", "knowledge", "main", "reproducing", "results", "runs"]
