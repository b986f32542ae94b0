"""Which client holds which samples.

`FixedPartition` keeps one array of sample indices. Each sample belongs to at most one client.
`DrawnPartition` and `DrawnByLabel` keep nothing per client. They draw a client's samples when these
are asked for, from a stream of the client's own, so that a hundred million clients cost nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.sections.partitions import Classes, Dirichlet
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
PURPOSE = "partition"


class Partition(Protocol):
    """Which client holds which samples, in the form that the other packages use."""

    @property
    def clients(self) -> int:
        """Number of clients."""

    @property
    def sizes(self) -> Ints:
        """Samples of each client, int64 (clients,); read-only. Equal sizes take no memory."""

    def size(self, client: int) -> int:
        """Samples of one client."""

    def indices(self, client: int) -> Ints:
        """Indices of a client's samples in the training set, int64, always in the same order."""

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        """Samples by client and label, int64 (clients, classes).

        With ``first``, of the first clients only: a table of very many would not fit in memory.
        """


@dataclass(frozen=True)
class FixedPartition:
    """Indices of all clients in one array: client u has ``flat[offsets[u]:offsets[u + 1]]``."""

    flat: Ints
    offsets: Ints

    @property
    def clients(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Ints:
        return np.diff(self.offsets)

    def size(self, client: int) -> int:
        _check_client(client, self.clients)
        return int(self.offsets[client + 1] - self.offsets[client])

    def indices(self, client: int) -> Ints:
        _check_client(client, self.clients)
        return self.flat[self.offsets[client] : self.offsets[client + 1]]

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        shown = self.clients if first is None else min(first, self.clients)
        owner = np.repeat(np.arange(shown), np.diff(self.offsets[: shown + 1]))
        cell = owner * classes + labels[self.flat[: self.offsets[shown]]]
        return np.bincount(cell, minlength=shown * classes).reshape(shown, classes)


@dataclass(frozen=True)
class SharedPartition:
    """Clients that all hold the same samples."""

    clients: int
    held: Ints

    @property
    def sizes(self) -> Ints:
        return np.broadcast_to(np.int64(len(self.held)), self.clients)

    def size(self, client: int) -> int:
        _check_client(client, self.clients)
        return len(self.held)

    def indices(self, client: int) -> Ints:
        _check_client(client, self.clients)
        return self.held

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        shown = self.clients if first is None else min(first, self.clients)
        return np.tile(np.bincount(labels[self.held], minlength=classes), (shown, 1))


@dataclass(frozen=True)
class _OnDemand(ABC):
    """The common part of partitions whose samples are drawn when they are asked for."""

    sizes: Ints
    streams: Streams

    @property
    def clients(self) -> int:
        return len(self.sizes)

    def size(self, client: int) -> int:
        _check_client(client, self.clients)
        return int(self.sizes[client])

    @abstractmethod
    def indices(self, client: int) -> Ints:
        """Indices of a client's samples; they are drawn at each call, and always the same."""

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        shown = self.clients if first is None else min(first, self.clients)
        counts = np.empty((shown, classes), dtype=np.int64)
        for client in range(shown):
            counts[client] = np.bincount(labels[self.indices(client)], minlength=classes)
        return counts


@dataclass(frozen=True)
class DrawnPartition(_OnDemand):
    """Samples are drawn on demand, with replacement, from the whole training set."""

    total: int

    def indices(self, client: int) -> Ints:
        generator = self.streams.generator(PURPOSE, client)
        return generator.integers(self.total, size=self.size(client), dtype=np.int64)

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        shown = self.clients if first is None else min(first, self.clients)
        counts = np.empty((shown, classes), dtype=np.int64)
        generators = self.streams.generators(PURPOSE, range(shown))
        sizes = self.sizes[:shown].tolist()
        for client, (generator, size) in enumerate(zip(generators, sizes, strict=True)):
            held = labels[generator.integers(self.total, size=size, dtype=np.int64)]
            counts[client] = np.bincount(held, minlength=classes)
        return counts


@dataclass(frozen=True)
class DrawnByLabel(_OnDemand):
    """Samples are drawn on demand, with replacement, from a mixture of labels of each client.

    Attributes:
        spec: Dirichlet (a mixture drawn from the Dirichlet distribution; alpha 0 is one label) or
            Classes (equal shares of some labels).
        order: sample indices sorted by label.
        starts: where each label that has samples starts in `order`; the end as the last entry.
    """

    spec: Dirichlet | Classes
    order: Ints
    starts: Ints

    def indices(self, client: int) -> Ints:
        size = self.size(client)
        generator = self.streams.generator(PURPOSE, client)
        counts = self._labels(generator, client, size)
        drawn = [
            generator.integers(self.starts[label], self.starts[label + 1], counts[label])
            for label in np.flatnonzero(counts)
        ]
        return generator.permutation(self.order[np.concatenate(drawn)])

    def _labels(self, generator: np.random.Generator, client: int, size: int) -> Ints:
        classes = len(self.starts) - 1
        if isinstance(self.spec, Dirichlet) and self.spec.alpha > 0:
            shares = generator.dirichlet(np.full(classes, self.spec.alpha))
            return generator.multinomial(size, shares)
        held = 1 if isinstance(self.spec, Dirichlet) else self.spec.per_client
        if isinstance(self.spec, Classes) and self.spec.assignment == "cyclic":
            chosen = (client + np.arange(held)) % classes
        else:
            chosen = generator.choice(classes, held, replace=False)
        counts = np.zeros(classes, dtype=np.int64)
        counts[chosen] = size // held
        counts[chosen[: size % held]] += 1
        return counts


def cut(order: Ints, sizes: Ints) -> FixedPartition:
    """Give each client in turn the next samples, as many as its size says."""
    flat = order.astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    for array in (flat, offsets):
        array.setflags(write=False)
    return FixedPartition(flat, offsets)


def _check_client(client: int, clients: int) -> None:
    if not 0 <= client < clients:
        raise IndexError(f"client {client} of {clients}")
