"""The process of a schedule.

This module is never compiled: from a generator of Python's own one can tell where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from afl_sim.user_code import code_of, runs_schedules

Schedule = Generator[simpy.Event, Any, None]
"""A strategy's life in virtual time: a SimPy process."""


@runs_schedules
def supervised(make: Callable[[], Schedule], strategy: object) -> Schedule:
    """A schedule whose errors name its strategy; it is made when its process begins."""
    with code_of(strategy, "schedule"):
        return (yield from make())
