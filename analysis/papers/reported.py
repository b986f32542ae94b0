"""What a paper's figure reads of its target: the numbers that the paper reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Row(Protocol):
    """One row of a table."""

    @property
    def reported(self) -> float | None:
        """The published number; None where there is none."""


class Table(Protocol):
    """One table of a target."""

    @property
    def rows(self) -> Mapping[str, Row]:
        """Rows by label."""


class Target(Protocol):
    """What is reproduced; `afl_sim.papers.target.Target` is one."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Tables by quantity."""
