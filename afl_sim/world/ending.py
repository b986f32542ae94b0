"""How a run ended."""

from __future__ import annotations

from dataclasses import dataclass


class RunEnded(BaseException):
    """Unwinds the schedule from inside the aggregation that reached a stop rule."""


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        time_us: the virtual time in microseconds.
        rule: the stop rule that was reached.
        remark: why no more versions could come; None if they could, or if enough were made.
    """

    time_us: int
    rule: str
    remark: str | None = None
