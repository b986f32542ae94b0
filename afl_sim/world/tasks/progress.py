"""How many steps a poll finds done, by the laws of the step times.

The mean over the polls is a sum, and the mean over the step times is one over drawn tasks. Each has
an opposite, whose uniform draws are 1 - u, so that few tasks are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.streams import Streams
from afl_sim.world.tasks.profile import LATER

Floats = npt.NDArray[np.float64]

_NUMBERS = 1 << 16  # step times that are drawn


@dataclass(frozen=True)
class StepTimes:
    """The step times of one client's tasks.

    Attributes:
        client: the client's index.
        step: seconds of a step without jitter.
        steps: K, the number of steps in a task.
        jitter: a factor, drawn for each step or for the whole task.
        per_step: whether it is drawn for each step.
        extra: seconds added to a task: to its first step if the jitter is drawn for each step, else
            to all steps alike.
        longest: the limit of a task's seconds; longer tasks are shortened in all steps alike.
    """

    client: int
    step: float
    steps: int
    jitter: Distribution
    per_step: bool
    extra: Distribution
    longest: float

    def ends(self, streams: Streams) -> Iterator[Floats]:
        """When each step of drawn tasks ends, in seconds: blocks of shape (d, K), all alike.

        The draws are the same for all clients, so that equal clients have equal times.
        """
        if self.jitter.constant is not None and self.extra.constant is not None:
            yield self._ends_at(np.full((1, 2), 0.5))
            return
        pairs = max(16, _NUMBERS // (2 * self.steps))
        rows = max(1, min(pairs, _NUMBERS // (2 * self.steps)))
        columns = self.steps if self.per_step else 1
        generator = streams.generator("compute.progress")
        for _ in range(pairs // rows):
            u = np.maximum(generator.random((rows, columns + 1)), 2.0**-53)
            yield self._ends_at(np.concatenate([u, 1 - u]))

    def _ends_at(self, u: Floats) -> Floats:
        """Shape (d, K), for uniform numbers of shape (d, columns): the last is of the extra."""
        factors = self.jitter.quantiles(u[:, :-1], self.client, LATER)
        extra = self.extra.quantiles(u[:, -1:], self.client, LATER)
        if self.per_step:
            each = np.broadcast_to(factors, (len(u), self.steps))
            ends = self.step * np.cumsum(each, axis=1) + extra
        else:
            share = np.arange(1, self.steps + 1) / self.steps
            ends = (self.step * self.steps * factors + extra) * share
        if self.longest < math.inf:
            ends = ends * (self.longest / np.maximum(ends[:, -1:], self.longest))
        return ends


def found_by_polls(ends: Floats, every: float, chance: float) -> Floats:
    """P(a poll finds at least k steps done) for k = 1, ..., K; shape (K,).

    Polls are ``every`` seconds apart, and each reaches the client with the same chance, so that the
    number of rounds until one does is geometric. It finds k steps if it comes in the round in which
    they end, or later.

    Args:
        ends: shape (d, K): when each step of a task ends, in seconds after the client's last poll.
        every: seconds.
        chance: in (0, 1].
    """
    rounds = np.maximum(1.0, np.ceil(np.round(ends / every, 9)))
    found: Floats = ((1.0 - chance) ** (rounds - 1)).mean(axis=0)
    return found
