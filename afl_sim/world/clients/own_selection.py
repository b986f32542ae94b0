"""A client selection of the user's own: what it is told, and the check of what it chooses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.sections.candidates import Candidates
from afl_sim.scenario.sections.selection import Selection, chosen_by, loss_is_closed
from afl_sim.streams import Streams


class OwnSelector:
    """Asks a user's own rule, and keeps for it what happened before.

    Args:
        rule: the rule.
        samples_of: the number of samples a client holds.
        seconds_of: the mean round trip of a client's tasks.
        streams: the run's random streams; choice k has the generator (0, k).
    """

    def __init__(
        self,
        rule: Selection,
        samples_of: Callable[[int], int],
        seconds_of: Callable[[int], float],
        streams: Streams,
    ) -> None:
        self._rule = rule
        self._samples_of = samples_of
        self._seconds_of = seconds_of
        self._streams = streams
        self._choices = 0
        self._chosen: Counter[int] = Counter()
        self._heard: dict[int, tuple[float, float]] = {}  # loss and seconds of the last update

    def choose(self, n: int, clients: Sequence[int]) -> list[int]:
        """What the rule chooses; it is asked only if there is a choice to make."""
        wanted = min(n, len(clients))
        if not wanted:
            return []
        indices = np.array(clients, dtype=np.int64)
        indices.flags.writeable = False
        candidates = Candidates(indices, self._choices, lambda name: self._known(name, clients))
        draws = self._streams.generator("selection.own", 0, self._choices)
        chosen = chosen_by(self._rule, wanted, candidates, draws)
        self._choices += 1
        self._chosen.update(chosen)
        return chosen

    def hear(self, client: int, loss: float, seconds: float) -> None:
        """The client's loss and round trip from now on."""
        self._heard[client] = loss, seconds

    def _known(self, name: str, clients: Sequence[int]) -> npt.NDArray[Any]:
        if name == "samples":
            return np.array([self._samples_of(client) for client in clients])
        if name == "chosen":
            return np.array([self._chosen[client] for client in clients])
        if name == "expected_seconds":
            return np.array([self._seconds_of(client) for client in clients])
        if name == "loss" and not self._rule.reads_results:
            raise loss_is_closed(self._rule)
        place = 0 if name == "loss" else 1
        nothing = (math.nan, math.nan)
        return np.array([self._heard.get(client, nothing)[place] for client in clients])
