"""Partitions in which the data of a client is correlated with its speed.

A partition has one part for each client, and usually chance decides which client gets which part.
Here the parts are sorted by their content, and the clients by a score that follows their speed more
or less closely. The k-th part goes to the k-th client. The parts themselves do not change, so that
scenarios of different strength differ only in who holds which part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afl_sim.learning.partition.partition import Partition
from afl_sim.scenario.distributions.elementary import each, exp
from afl_sim.scenario.sections.speed_correlation import SpeedCorrelation
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
PURPOSE = "partition.speed_correlation"


@dataclass(frozen=True)
class Reassigned:
    """A partition whose parts are reassigned: client u has the part of client `holders[u]`."""

    parts: Partition
    holders: Ints

    @property
    def clients(self) -> int:
        return self.parts.clients

    @property
    def sizes(self) -> Ints:
        return self.parts.sizes[self.holders]

    def size(self, client: int) -> int:
        return self.parts.size(self._part(client))

    def indices(self, client: int) -> Ints:
        return self.parts.indices(self._part(client))

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        shown = self.clients if first is None else min(first, self.clients)
        return self.parts.label_counts(labels, classes)[self.holders[:shown]]

    def _part(self, client: int) -> int:
        if not 0 <= client < self.clients:
            raise IndexError(f"client {client} of {self.clients}")
        return int(self.holders[client])


def correlated(
    partition: Partition,
    labels: Ints,
    classes: int,
    seconds: Sequence[float],
    spec: SpeedCorrelation,
    streams: Streams,
) -> Reassigned:
    """The partition, with its parts reassigned by the speed of clients.

    Args:
        partition: whose parts are reassigned.
        labels: int64 (samples,), the labels of the training set.
        classes: how many labels there are.
        seconds: each client's persistent time per sample, step or task; small is fast.
        spec: which property is correlated with speed, and how strongly.
        streams: the scenario's seed.
    """
    order = by_speed(seconds, spec.strength, streams)
    counts = partition.label_counts(labels, classes)
    holders = np.empty(len(counts), dtype=np.int64)
    holders[order] = np.argsort(contents(counts, spec.of), kind="stable")
    holders.setflags(write=False)
    return Reassigned(partition, holders)


def contents(counts: Ints, of: str) -> Floats:
    """The numbers by which parts are sorted, float64 (clients,), from their samples by label.

    The number of labels is the effective one, the exponential of the entropy of their shares (Hill,
    Ecology 54(2), 1973, N_1): k for k labels in equal shares.
    """
    if of != "labels":
        of_part: Floats = (counts.sum(axis=1) if of == "samples" else counts.argmax(axis=1)).astype(
            np.float64
        )
        return of_part
    from scipy.special import entr

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return each(exp, entr(shares).sum(axis=1))


def by_speed(seconds: Sequence[float], strength: float, streams: Streams) -> Ints:
    """The clients, int64 (clients,), sorted by a score that is correlated with their speed.

    The score is ``strength * z + sqrt(1 - strength**2) * noise``. The noise is standard normal, and
    z is the normal score of a client's rank by speed, the slowest first. Equally fast clients share
    a rank, and chance decides among them.
    """
    from scipy.special import ndtri

    count = len(seconds)
    slowest_first = -np.asarray(seconds, dtype=np.float64)
    _, place, alike = np.unique(slowest_first, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(alike) - (alike - 1) / 2)[place]  # from 1; ties share their mean
    noise = ndtri(streams.uniforms(PURPOSE, np.arange(count)))
    scores = strength * ndtri((ranks - 0.5) / count) + np.sqrt(1 - strength**2) * noise
    return np.lexsort((noise, scores))
