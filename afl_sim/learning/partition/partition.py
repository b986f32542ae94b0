"""Who holds which samples: the partition of a training set over clients.

`FixedPartition` keeps one array of sample indices, dealt out without loss or repetition.
`DrawnPartition` keeps nothing per client: a client's samples are drawn when asked for, from its own
stream, so that a hundred million clients cost nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.learning.partition.dealing import (
    balanced_labels,
    deal_labels,
    dirichlet_counts,
    held_labels_counts,
    label_order,
    mixture_counts,
    raise_to_minimum,
    scaled_sizes,
)
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.partitions import (
    Classes,
    Dirichlet,
    Iid,
    PartitionSpec,
    Quantity,
    Shards,
    Shared,
    Sizes,
)
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
PURPOSE = "partition"


class Partition(Protocol):
    """What the rest of the system asks of a partition."""

    @property
    def clients(self) -> int:
        """Number of clients."""

    @property
    def sizes(self) -> Ints:
        """Samples of each client, int64 (clients,); read-only, and free where all are equal."""

    def size(self, client: int) -> int:
        """Samples of one client."""

    def indices(self, client: int) -> Ints:
        """Indices of a client's samples into the training set, int64; always in the same order."""

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        """Samples by client and label, int64 (clients, classes); of the first clients only if so
        asked, as the table of very many clients does not fit in memory."""


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
    """What partitions have in common whose clients draw their samples when asked for them."""

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
        """Indices of a client's samples, drawn anew, and the same each time."""

    def label_counts(self, labels: Ints, classes: int, first: int | None = None) -> Ints:
        shown = self.clients if first is None else min(first, self.clients)
        counts = np.empty((shown, classes), dtype=np.int64)
        for client in range(shown):
            counts[client] = np.bincount(labels[self.indices(client)], minlength=classes)
        return counts


@dataclass(frozen=True)
class DrawnPartition(_OnDemand):
    """Clients that draw their samples on demand, with replacement, from the whole training set."""

    total: int

    def indices(self, client: int) -> Ints:
        generator = self.streams.generator(PURPOSE, client)
        return generator.integers(self.total, size=self.size(client), dtype=np.int64)


@dataclass(frozen=True)
class DrawnByLabel(_OnDemand):
    """Clients that draw their samples on demand, with replacement, each from a mixture of labels.

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


def make_partition(spec: DataSpec, labels: Ints, clients: int, streams: Streams) -> Partition:
    """Deal the training set out to clients as a scenario says.

    Args:
        spec: the scenario's ``data`` section.
        labels: int64 (samples,), the labels of what is dealt out (`load_labels`).
        clients: number of clients.
        streams: the scenario's seed (purposes "partition" and "partition.sizes").

    Raises:
        ScenarioError: what is asked for is impossible, one line for each reason.
    """
    classes = spec.info.classes
    problems = list(spec.partition.check(clients, len(labels), classes))
    if problems:
        raise ScenarioError(
            "\n".join(".".join(("data", "partition", *key)) + f": {why}" for key, why in problems)
        )
    drawn = _drawn(spec.partition, labels, clients, classes, streams)
    if drawn is not None:
        return drawn
    return _dealt(spec.partition, labels, clients, classes, streams.generator(PURPOSE))


def _drawn(
    spec: PartitionSpec, labels: Ints, clients: int, classes: int, streams: Streams
) -> Partition | None:
    """The partition of a spec that asks for replacement, else None."""
    if isinstance(spec, Shards | Shared) or not spec.replacement:
        return None
    if isinstance(spec, Sizes):
        return DrawnPartition(np.array(spec.sizes, dtype=np.int64), streams, len(labels))
    if isinstance(spec, Quantity):
        # Of their own: without it, client 0's samples would be drawn by the same numbers.
        generator = streams.generator(f"{PURPOSE}.sizes")
        sizes = scaled_sizes(spec, clients, len(labels), generator)
        return DrawnPartition(sizes, streams, len(labels))
    equal = np.broadcast_to(
        np.int64(spec.samples or 0), clients
    )  # one number, seen `clients` times
    if isinstance(spec, Iid):
        return DrawnPartition(equal, streams, len(labels))
    order, starts = label_order(labels, classes)
    starts = np.unique(starts)  # a label without samples starts where the next one does
    if isinstance(spec, Classes) and spec.per_client >= len(starts):
        raise ScenarioError(
            f"data.partition.per_client: {spec.per_client} labels per client, but only "
            f"{len(starts) - 1} have samples"
        )
    return DrawnByLabel(equal, streams, spec, order, starts)


def _shared(
    spec: Shared, clients: int, total: int, generator: np.random.Generator
) -> SharedPartition:
    held = np.arange(total if spec.samples is None else spec.samples, dtype=np.int64)
    if spec.order == "shuffled":
        held = np.sort(generator.permutation(total)[: len(held)]).astype(np.int64)
    held.setflags(write=False)
    return SharedPartition(clients, held)


def _dealt(
    spec: PartitionSpec, labels: Ints, clients: int, classes: int, generator: np.random.Generator
) -> FixedPartition | SharedPartition:
    """A partition in which every sample goes to one client at most, or all to everybody."""
    total = len(labels)
    if isinstance(spec, Shared):
        return _shared(spec, clients, total, generator)
    supply = np.bincount(labels, minlength=classes)
    if isinstance(spec, Iid | Quantity | Sizes):
        if isinstance(spec, Quantity):
            sizes = scaled_sizes(spec, clients, total, generator)
        elif isinstance(spec, Sizes):
            sizes = np.array(spec.sizes, dtype=np.int64)
        else:
            sizes = _equal(total, clients, spec.samples)
        order = np.arange(total) if spec.order == "file" else generator.permutation(total)
        return cut(order[: sizes.sum()], sizes)
    if isinstance(spec, Shards):
        return _shards(spec, labels, clients, generator)
    if isinstance(spec, Classes):
        held = balanced_labels(spec, clients, classes, generator)
        counts = held_labels_counts(held, supply, spec, generator)
    elif spec.samples is not None or spec.equal_sizes:
        sizes = _equal(total, clients, spec.samples)
        counts = mixture_counts(spec.alpha, sizes, supply, generator)
    elif spec.alpha == 0:
        held = balanced_labels(Classes(kind="classes", per_client=1), clients, classes, generator)
        counts = held_labels_counts(held, supply, spec, generator)
    else:
        counts = dirichlet_counts(spec.alpha, clients, supply, generator)
        counts = raise_to_minimum(counts, spec.min_samples)
    return cut(deal_labels(counts, labels, generator), counts.sum(axis=1))


def _shards(
    spec: Shards, labels: Ints, clients: int, generator: np.random.Generator
) -> FixedPartition:
    shards = np.array_split(np.argsort(labels, kind="stable"), clients * spec.per_client)
    dealt = [shards[shard] for shard in generator.permutation(len(shards))]
    sizes = np.array([len(shard) for shard in dealt]).reshape(clients, -1).sum(axis=1)
    return cut(np.concatenate(dealt), sizes)


def _equal(total: int, clients: int, samples: int | None) -> Ints:
    if samples is not None:
        return np.full(clients, samples, dtype=np.int64)
    return total // clients + (np.arange(clients) < total % clients)


def cut(order: Ints, sizes: Ints) -> FixedPartition:
    """Give each client in turn as many of these samples as its size says."""
    flat = order.astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    for array in (flat, offsets):
        array.setflags(write=False)
    return FixedPartition(flat, offsets)


def _check_client(client: int, clients: int) -> None:
    if not 0 <= client < clients:
        raise IndexError(f"client {client} of {clients}")
