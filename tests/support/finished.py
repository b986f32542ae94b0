"""The finished runs that the tests of the command line share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from commands import Result


@dataclass(frozen=True)
class Finished:
    """Runs that are there to be looked at; nobody writes to them.

    Attributes:
        full, timing: the smallest scenario, trained and with --timing-only.
        again: the full run's own resolved scenario, run.
        other: the same with another seed.
        results: what each command printed, by the same names.
    """

    full: Path
    timing: Path
    again: Path
    other: Path
    results: dict[str, Result]
