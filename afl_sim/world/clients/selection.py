"""Ways to choose among the clients that are idle and available, other than uniformly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from afl_sim.scenario.distributions.elementary import each, log
from afl_sim.scenario.sections import selection as spec
from afl_sim.streams import Streams, stochastic_round
from afl_sim.world.clients.own_selection import OwnSelector


class Selector(Protocol):
    """Chooses among clients."""

    def choose(self, n: int, clients: Sequence[int]) -> list[int]:
        """``n`` of the clients, which are given in order of their index; all if there are fewer."""

    def hear(self, client: int, loss: float, seconds: float) -> None:
        """A client's update has arrived, with this training loss, ``seconds`` after it was sent."""


class _IgnoresLosses:
    def hear(self, client: int, loss: float, seconds: float) -> None:
        """Nothing changes."""


class Weighted(_IgnoresLosses):
    """Successive draws without replacement, with probabilities in proportion to weights.

    Each client's key is exponential with its weight as its rate, and the smallest keys are taken
    (Efraimidis, Spirakis, "Weighted random sampling with a reservoir", 2006). Their logarithms
    are compared, so that no power of a weight is too large or too small.

    Args:
        weight: of a client, at least 0.
        streams: the run's random streams; client c's key in choice k is draw (c, k).
        exponent: the power of the weight that counts.
    """

    def __init__(
        self, weight: Callable[[int], float], streams: Streams, exponent: float = 1.0
    ) -> None:
        self._weight = weight
        self._streams = streams
        self._exponent = exponent
        self._choices = 0

    def choose(self, n: int, clients: Sequence[int]) -> list[int]:
        """The clients with the smallest keys, in the order in which they are drawn."""
        uniform = self._streams.uniforms("selection.weighted", clients, self._choices)
        self._choices += 1
        chance = each(lambda u: log(-log(u)), uniform)
        keys = chance - np.array([self._log_weight(client) for client in clients])
        # Among infinite weights chance alone decides; weights of 0 come last, in order.
        ties = np.where(keys == -math.inf, chance, 0.0)
        return [clients[i] for i in np.lexsort((ties, keys))[:n].tolist()]

    def _log_weight(self, client: int) -> float:
        if self._exponent == 0:
            return 0.0
        weight = self._weight(client)
        return self._exponent * (math.log(weight) if weight > 0 else -math.inf)


class RoundRobin(_IgnoresLosses):
    """The next clients after the one chosen last, in order of their index."""

    def __init__(self) -> None:
        self._last = -1

    def choose(self, n: int, clients: Sequence[int]) -> list[int]:
        """The clients that come next."""
        later = [client for client in clients if client > self._last]
        chosen = [*later, *(client for client in clients if client <= self._last)][:n]
        if chosen:
            self._last = chosen[-1]
        return chosen


class WithoutReplacement(_IgnoresLosses):
    """The clients chosen least often so far, in random order.

    Args:
        streams: the run's random streams; client c's place in choice k is draw (c, k).
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._choices = 0
        self._chosen: Counter[int] = Counter()

    def choose(self, n: int, clients: Sequence[int]) -> list[int]:
        """No client a second time while another has not been chosen."""
        uniform = self._streams.uniforms("selection.order", clients, self._choices)
        self._choices += 1
        places = zip(clients, uniform.tolist(), strict=True)
        order = sorted((self._chosen[client], place, client) for client, place in places)
        chosen = [client for _, _, client in order[:n]]
        self._chosen.update(chosen)
        return chosen


class PowerOfChoice:
    """The clients with the highest losses among candidates drawn in proportion to their samples.

    Args:
        candidates: how many are drawn.
        samples_of: the number of samples a client holds.
        streams: the run's random streams.
    """

    def __init__(
        self, candidates: int, samples_of: Callable[[int], float], streams: Streams
    ) -> None:
        self._candidates = candidates
        self._draw = Weighted(samples_of, streams)
        self._losses: dict[int, float] = {}

    def choose(self, n: int, clients: Sequence[int]) -> list[int]:
        """First the candidates without a known loss, then those with the highest loss."""
        drawn = self._draw.choose(max(n, self._candidates), clients)
        return sorted(drawn, key=lambda client: -self._losses.get(client, math.inf))[:n]

    def hear(self, client: int, loss: float, seconds: float) -> None:
        """The client's loss from now on."""
        self._losses[client] = _ordered(loss)


class Oort:
    """The clients of the highest utility, and some whose utility is not known yet.

    Args:
        settings: exploration and the penalty on slow clients.
        samples_of: the number of samples a client holds.
        streams: the run's random streams; draw (0, k) rounds the number explored in choice k.
    """

    def __init__(
        self, settings: spec.Oort, samples_of: Callable[[int], float], streams: Streams
    ) -> None:
        self._spec = settings
        self._samples_of = samples_of
        self._explore = Weighted(lambda client: 1.0, streams)
        self._heard: dict[int, tuple[float, float, int]] = {}  # loss, seconds, when
        self._updates = 0
        self._streams = streams
        self._choices = 0

    def choose(self, n: int, clients: Sequence[int]) -> list[int]:
        """The known clients of the highest utility, and a share of unknown ones.

        Servers that choose one client at a time explore in that share of their choices. If there
        are too few clients of one kind, the other kind fills the rest.
        """
        known = [client for client in clients if client in self._heard]
        others = [client for client in clients if client not in self._heard]
        u = self._streams.uniform("selection.exploration", 0, self._choices)
        self._choices += 1
        wanted = stochastic_round(self._spec.exploration * n, u)
        explored = min(max(wanted, n - len(known)), len(others))
        useful = sorted(known, key=self._utility, reverse=True)[: n - explored]
        return useful + self._explore.choose(explored, others)

    def hear(self, client: int, loss: float, seconds: float) -> None:
        """The client's loss and time from now on."""
        self._updates += 1
        self._heard[client] = (_ordered(loss), seconds, self._updates)

    def _utility(self, client: int) -> float:
        loss, seconds, when = self._heard[client]
        utility = self._samples_of(client) * loss
        utility += math.sqrt(0.1 * math.log(self._updates) / when)
        preferred = self._spec.preferred_seconds
        if preferred is not None and seconds > preferred:
            utility *= (preferred / seconds) ** self._spec.penalty
        return utility


def _ordered(loss: float) -> float:
    """The loss; below all others if it is not finite: a diverging client is not preferred."""
    return loss if math.isfinite(loss) else -math.inf


def build(
    settings: spec.AnySelection | spec.Selection,
    samples_of: Callable[[int], int],
    seconds_of: Callable[[int], float],
    streams: Streams,
) -> Selector | None:
    """The selection that a scenario describes; None if it is uniform.

    Args:
        settings: its kind.
        samples_of: the number of samples a client holds.
        seconds_of: the mean round trip of a client's tasks.
        streams: the run's random streams.
    """
    if isinstance(settings, spec.WeightedSelection):
        if settings.by == "samples":
            return Weighted(samples_of, streams, settings.exponent)
        return Weighted(seconds_of, streams, -settings.exponent)
    if isinstance(settings, spec.RoundRobin):
        return RoundRobin()
    if isinstance(settings, spec.WithoutReplacement):
        return WithoutReplacement(streams)
    if isinstance(settings, spec.PowerOfChoice):
        return PowerOfChoice(settings.candidates, samples_of, streams)
    if isinstance(settings, spec.Oort):
        return Oort(settings, samples_of, streams)
    if isinstance(settings, spec.Selection):
        return OwnSelector(settings, samples_of, seconds_of, streams)
    return None
