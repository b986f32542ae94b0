"""A staleness weight: a class, because its setting has a limit."""

from __future__ import annotations

import math

from pydantic import Field

from afl_sim import StalenessWeight


class Exponential(StalenessWeight):
    """s(tau) = exp(-rate tau)."""

    rate: float = Field(0.2, ge=0, description="how fast the weight falls, per version")

    def __call__(self, staleness: int) -> float:
        return math.exp(-self.rate * staleness)
