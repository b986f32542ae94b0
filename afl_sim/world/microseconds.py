"""The unit of virtual time: integer microseconds."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError

MICROSECONDS: Final = 1_000_000
CLOCK_END: Final = 2**63 - 1
"""The last microsecond that the event log can hold, some 292,000 years from the start."""
_LONGEST: Final = 1e300  # seconds: such a duration never ends, but is a number in microseconds
_WHOLE: Final = 2.0**52  # from here on floats are whole numbers


def to_microseconds(seconds: float, key: str) -> int:
    """Round a drawn duration to the clock, at least one microsecond.

    A duration that is *always* 0 is not drawn: it makes no event, and callers skip it.

    Args:
        seconds: the duration in seconds.
        key: the scenario key it was drawn from, for the error.

    Raises:
        ScenarioError: if the duration is negative, not a number, or too large to be rounded.
    """
    if not 0.0 <= seconds <= _LONGEST:
        raise ScenarioError(f"{key}: drew a duration of {seconds} s; expected a finite number >= 0")
    exact = seconds * MICROSECONDS
    if exact >= _WHOLE:
        return round(exact)
    below = int(exact)  # the rest is what `round` does, and compiled code does it faster
    rest = exact - below
    if rest > 0.5 or (rest == 0.5 and below & 1):
        return below + 1
    return below or 1


def all_to_microseconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """`to_microseconds` of many durations at once; -1 where it would raise an error, or nearly.

    Those are left to it, so that an error comes when the duration is wanted.
    """
    exact = seconds * MICROSECONDS
    usual = (exact >= 0) & (exact < _WHOLE)
    rounded = np.maximum(np.rint(np.where(usual, exact, 0.0)), 1.0)  # ties go to even numbers
    return np.where(usual, rounded, -1.0).astype(np.int64)
