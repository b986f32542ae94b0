"""The data's own clients as clients of the simulation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition.dealing import deal_labels, dirichlet_counts
from afl_sim.learning.partition.partition import FixedPartition, cut
from afl_sim.scenario.sections.natural import Natural
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
PURPOSE = "partition.natural"


def natural(spec: Natural, samples: Annotations, clients: int, streams: Streams) -> FixedPartition:
    """Give each client the samples of one of the data's own clients, or a part of them.

    Args:
        spec: which of the data's clients take part, and how much of them.
        samples: the training set; it must say whose a sample is.
        clients: number of clients.
        streams: the scenario's seed (purpose "partition.natural").

    Returns:
        The partition. Clients ``k * split`` to ``k * split + split - 1`` share one of the data's
        clients.

    Raises:
        ScenarioError: the data has no clients, or too few; or a part would be too small.
    """
    if samples.owners is None:
        raise ScenarioError(
            "data.partition: natural needs data that says whose a sample is, and this data does "
            "not; expected another partition, or data with a client column"
        )
    order, starts = _by_owner(samples.owners)
    sizes = np.diff(starts)
    chosen = _chosen(spec, sizes, clients // spec.split, streams)
    parts = []
    for place in chosen:
        held = order[starts[place] : starts[place + 1]]
        draws = streams.generator(PURPOSE, int(samples.owners[held[0]]), 1)
        if spec.max_samples is not None and len(held) > spec.max_samples:
            held = np.sort(draws.permutation(held)[: spec.max_samples])
        parts += _divided(spec, held, samples, draws)
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    small = np.flatnonzero(lengths < spec.min_samples)
    if len(small):
        raise ScenarioError(
            f"data.partition.split: client {small[0]} would hold {lengths[small[0]]} samples, "
            f"fewer than min_samples ({spec.min_samples}); expected a smaller split, a larger "
            "alpha, or a larger min_samples, so that small clients of the data take no part"
        )
    return cut(np.concatenate(parts), lengths)


def _by_owner(owners: Ints) -> tuple[Ints, Ints]:
    """The samples sorted by owner, and where each owner's begin, with the end as the last entry.

    Owners are in the order in which they first appear.
    """
    _, first, which = np.unique(owners, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    place = rank[which]
    counts = np.bincount(place, minlength=len(first))
    starts = np.concatenate([[0], np.cumsum(counts)])
    return np.argsort(place, kind="stable"), starts


def _chosen(spec: Natural, sizes: Ints, wanted: int, streams: Streams) -> Ints:
    """The places of the data's clients that take part, in their order."""
    least = spec.min_samples * spec.split
    fit = np.flatnonzero(sizes >= least)
    if wanted > len(fit):
        enough = "" if least == 1 else f" have at least {least} samples"
        limit = (
            f"{len(fit)} of the data's {len(sizes)} clients{enough}"
            if enough
            else (f"the data has {len(fit)}")
        )
        per = f", each split into {spec.split}" if spec.split > 1 else ""
        most = len(fit) * spec.split
        expected = f"at most {most}" if most else "a smaller data.partition.min_samples"
        raise ScenarioError(
            f"clients.count: {wanted * spec.split} clients need {wanted} of the data's own"
            f"{per}, but {limit}; expected {expected}"
        )
    if spec.order == "file":
        return fit[:wanted]
    return np.sort(streams.generator(PURPOSE).permutation(fit)[:wanted])


def _divided(
    spec: Natural, held: Ints, samples: Annotations, draws: np.random.Generator
) -> list[Ints]:
    """The samples of one of the data's clients, divided among ``split`` clients."""
    if spec.split == 1:
        return [held]
    if spec.alpha is None:
        return np.array_split(draws.permutation(held), spec.split)
    labels = samples.labels[held]
    supply = np.bincount(labels, minlength=samples.classes)
    counts = dirichlet_counts(spec.alpha, spec.split, supply, draws)
    dealt = held[deal_labels(counts, labels, draws)]
    return np.split(dealt, np.cumsum(counts.sum(axis=1))[:-1])
