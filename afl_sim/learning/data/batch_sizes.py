"""The sizes of the mini-batches of a run, and which of these sizes are tried before the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Clients = npt.NDArray[np.int64]

_BLOCK = 1 << 20  # clients that are looked at together
_BETWEEN = 128  # samples of the batches that are tried between the smallest and the largest


@dataclass(frozen=True)
class BatchSizes:
    """The sizes of the batches that a model will get.

    Attributes:
        trained: sizes of the mini-batches of local training.
        evaluated: sizes of the batches of evaluations.
    """

    trained: tuple[int, ...] = ()
    evaluated: tuple[int, ...] = ()


UNKNOWN = BatchSizes()


def batch_sizes(
    held: npt.NDArray[np.int64],
    batch: int | None,
    drop_last: bool,
    most: npt.NDArray[np.int64] | None = None,
) -> dict[int, tuple[int, int]]:
    """Every size of a mini-batch, with the first client that has it and its number of samples.

    Args:
        held: how many samples each client holds.
        batch: samples in a mini-batch; None for all that a client has.
        drop_last: whether the last, smaller mini-batch is left out, unless it is the only one.
        most: the most samples that fit into a mini-batch of each client, (clients,); None: all.
    """
    if most is not None:
        return _of_bounded(held, batch, drop_last, most)
    clients, samples = _first_of_each(held)
    if batch is None:
        parts = [(samples, samples > 0)]
    else:
        rest = samples % batch
        parts = [
            (np.full_like(samples, batch), samples >= batch),
            (rest, (rest > 0) & ((samples < batch) | (not drop_last))),
        ]
    found: dict[int, tuple[int, int]] = {}
    for sizes, there in parts:
        different, first = np.unique(sizes[there], return_index=True)
        for size, place in zip(different.tolist(), first.tolist(), strict=True):
            found[size] = int(clients[there][place]), int(samples[there][place])
    return dict(sorted(found.items()))


def _of_bounded(
    held: npt.NDArray[np.int64], batch: int | None, drop_last: bool, most: npt.NDArray[np.int64]
) -> dict[int, tuple[int, int]]:
    """`batch_sizes` of clients that differ in the size of their batches."""
    bound = np.maximum(held, 1) if batch is None else np.full(len(held), batch)
    own = np.minimum(most, bound)
    found: dict[int, tuple[int, int]] = {}
    for size in np.unique(own).tolist():
        mine = np.flatnonzero(own == size)
        for each, (first, samples) in batch_sizes(held[mine], size, drop_last).items():
            this = int(mine[first]), samples
            found[each] = min(this, found.get(each, this))
    return dict(sorted(found.items()))


def _first_of_each(held: npt.NDArray[np.int64]) -> tuple[Clients, Clients]:
    """The first client with each number of samples above 0, in the order of clients."""
    if held.strides == (0,):  # all clients have one number, stored once
        held = held[:1]
    first: dict[int, int] = {}
    for begin in range(0, len(held), _BLOCK):
        values, places = np.unique(held[begin : begin + _BLOCK], return_index=True)
        for value, place in zip(values.tolist(), places.tolist(), strict=True):
            first.setdefault(value, begin + place)
    first.pop(0, None)
    found = np.array(sorted((client, value) for value, client in first.items()), dtype=np.int64)
    clients, samples = found.reshape(-1, 2).T
    return clients, samples


def sizes_to_try(sizes: Iterable[int], most: int) -> list[int]:
    """The smallest size, the largest, and as many others as cost little, in ascending order.

    Args:
        sizes: in any order.
        most: the largest size that is tried; it stands for all larger ones.
    """
    different = sorted({min(size, most) for size in sizes})
    budget, chosen = _BETWEEN, []
    for size in different:
        budget -= size
        if budget >= 0 or size in (different[0], different[-1]):
            chosen.append(size)
    return chosen
