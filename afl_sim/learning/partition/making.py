"""Making the partition that a scenario asks for, one function for each kind of partition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition.by_group import GroupShare, deal_to_groups
from afl_sim.learning.partition.by_owner import natural
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
from afl_sim.learning.partition.partition import (
    PURPOSE,
    DrawnByLabel,
    DrawnPartition,
    FixedPartition,
    Partition,
    SharedPartition,
    cut,
)
from afl_sim.scenario.apportioning import apportion
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.natural import Natural
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
Dealt = Iid | Dirichlet | Shards | Classes | Quantity | Sizes | Shared


def make_partition(
    spec: DataSpec,
    samples: Annotations,
    clients: int,
    streams: Streams,
    groups: Sequence[GroupShare] = (),
    measured: Ints | None = None,
) -> Partition:
    """Deal the training set out to clients as a scenario says.

    Args:
        spec: the scenario's ``data`` section.
        samples: the training set (`load_annotations`).
        clients: number of clients.
        streams: the scenario's seed (purposes "partition" and "partition.sizes").
        groups: groups of clients with data of their own; none, if all deal alike.
        measured: how many samples each client's device has, int64 (clients,). It is needed where
            the partition is `by_devices`.

    Raises:
        ScenarioError: the scenario asks for something impossible; one line for each reason.
    """
    labels, classes = samples.labels, samples.classes
    if groups:
        return _grouped(spec, samples, streams, groups)
    _check_labelled(spec, samples)
    _check_possible(spec.partition, clients, len(labels), classes, "data.partition")
    if isinstance(spec.partition, Natural):
        return natural(spec.partition, samples, clients, streams)
    sizes = None
    if spec.partition.by_devices:
        assert measured is not None
        sizes = _by_devices(spec.partition, measured, len(labels))
    drawn = _drawn(spec.partition, labels, clients, classes, streams, sizes)
    if drawn is not None:
        return drawn
    return _dealt(spec.partition, labels, clients, classes, streams.generator(PURPOSE), sizes)


def _by_devices(kind: PartitionSpec, measured: Ints, total: int) -> Ints:
    """The size of each client, int64 (clients,).

    Raises:
        ScenarioError: there are too few samples for all of them, or a client has too few.
    """
    if isinstance(kind, Quantity):
        sizes = apportion(measured.astype(np.float64), total)
        return raise_to_minimum(sizes[:, None], kind.min_samples)[:, 0]
    least = int(measured.min())
    if least < kind.min_samples:
        raise ScenarioError(
            f"data.partition.min_samples: got {kind.min_samples}, but client "
            f"{int(measured.argmin())} is a device with {least} samples; expected at most {least}"
        )
    wanted = int(measured.sum())
    if wanted > total and not getattr(kind, "replacement", False):
        raise ScenarioError(
            f"data.partition.samples: the clients' devices have {wanted} samples, but there are "
            f"{total} to deal out; expected replacement: true, which lets clients share samples, "
            "a factor below 1 for the column samples, or {kind: quantity, law: devices}, which "
            "divides all samples in proportion to that column"
        )
    return measured


def _grouped(
    spec: DataSpec, samples: Annotations, streams: Streams, groups: Sequence[GroupShare]
) -> FixedPartition:
    def deal(
        kind: PartitionSpec, labels: Ints, clients: int, draws: np.random.Generator
    ) -> FixedPartition:
        _check_labelled(spec.model_copy(update={"partition": kind}), samples)
        whose = next((g.index for g in groups if g.data.partition is kind), None)
        place = "data" if whose is None else f"clients.groups.{whose}.data"
        _check_possible(kind, clients, len(labels), samples.classes, f"{place}.partition")
        assert not isinstance(kind, Natural)
        dealt = _dealt(kind, labels, clients, samples.classes, draws)
        assert isinstance(dealt, FixedPartition)
        return dealt

    return deal_to_groups(groups, spec.partition, samples.labels, streams, deal)


def _check_possible(
    kind: PartitionSpec, clients: int, total: int, classes: int, place: str
) -> None:
    problems = list(kind.check(clients, total, classes))
    if problems:
        raise ScenarioError(
            "\n".join(".".join((place, *key)) + f": {why}" for key, why in problems)
        )


def _check_labelled(spec: DataSpec, samples: Annotations) -> None:
    if samples.labelled:
        return
    why = "but here a sample has no single label"
    kind = spec.partition.kind
    if isinstance(spec.partition, Dirichlet | Classes | Shards):
        raise ScenarioError(
            f"data.partition.kind: {kind} deals samples out by their labels, {why}; expected iid, "
            "quantity, sizes, shared or natural"
        )
    if isinstance(spec.partition, Natural) and spec.partition.alpha is not None:
        raise ScenarioError(f"data.partition.alpha: it divides samples by their labels, {why}")
    if spec.speed_correlation is not None and spec.speed_correlation.of != "samples":
        raise ScenarioError(
            f"data.speed_correlation.of: {spec.speed_correlation.of} is about labels, {why}; "
            "expected samples"
        )


def _drawn(
    spec: Dealt,
    labels: Ints,
    clients: int,
    classes: int,
    streams: Streams,
    measured: Ints | None = None,
) -> Partition | None:
    """The partition if samples are drawn with replacement, else None."""
    if isinstance(spec, Shards | Shared) or not spec.replacement:
        return None
    if isinstance(spec, Sizes):
        return DrawnPartition(np.array(spec.sizes, dtype=np.int64), streams, len(labels))
    if isinstance(spec, Quantity):
        # A stream of their own: else the same random numbers would draw client 0's samples.
        generator = streams.generator(f"{PURPOSE}.sizes")
        sizes = measured
        if sizes is None:
            sizes = scaled_sizes(spec, clients, len(labels), generator)
        return DrawnPartition(sizes, streams, len(labels))
    sizes = measured
    if sizes is None:
        # One number, seen `clients` times.
        sizes = np.broadcast_to(np.int64(spec.samples or 0), clients)
    if isinstance(spec, Iid):
        return DrawnPartition(sizes, streams, len(labels))
    order, starts = label_order(labels, classes)
    starts = np.unique(starts)  # a label without samples starts where the next one does
    if isinstance(spec, Classes) and spec.per_client >= len(starts):
        raise ScenarioError(
            f"data.partition.per_client: {spec.per_client} labels per client, but only "
            f"{len(starts) - 1} have samples"
        )
    return DrawnByLabel(sizes, streams, spec, order, starts)


def _shared(
    spec: Shared, clients: int, total: int, generator: np.random.Generator
) -> SharedPartition:
    held = np.arange(total if spec.samples is None else spec.samples, dtype=np.int64)
    if spec.order == "shuffled":
        held = np.sort(generator.permutation(total)[: len(held)]).astype(np.int64)
    held.setflags(write=False)
    return SharedPartition(clients, held)


def _dealt(
    spec: Dealt,
    labels: Ints,
    clients: int,
    classes: int,
    generator: np.random.Generator,
    sizes: Ints | None = None,
) -> FixedPartition | SharedPartition:
    """A partition in which each sample belongs to at most one client, or to all of them."""
    total = len(labels)
    if isinstance(spec, Shared):
        return _shared(spec, clients, total, generator)
    supply = np.bincount(labels, minlength=classes)
    if isinstance(spec, Iid | Quantity | Sizes):
        if isinstance(spec, Sizes):
            sizes = np.array(spec.sizes, dtype=np.int64)
        elif sizes is None and isinstance(spec, Quantity):
            sizes = scaled_sizes(spec, clients, total, generator)
        elif sizes is None:
            assert isinstance(spec, Iid)
            sizes = _equal(total, clients, spec.samples)
        order = np.arange(total) if spec.order == "file" else generator.permutation(total)
        return cut(order[: sizes.sum()], sizes)
    if isinstance(spec, Shards):
        return _shards(spec, labels, clients, generator)
    if isinstance(spec, Classes):
        held = balanced_labels(spec, clients, classes, generator)
        counts = held_labels_counts(held, supply, spec, generator, sizes)
    elif spec.samples is not None or spec.equal_sizes:
        if sizes is None:
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


def _equal(total: int, clients: int, samples: int | str | None) -> Ints:
    if isinstance(samples, int):
        return np.full(clients, samples, dtype=np.int64)
    return total // clients + (np.arange(clients) < total % clients)
