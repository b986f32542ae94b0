"""A test set out of a training set, where the data has none of its own."""

from __future__ import annotations

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.sources.source import Ints, SourcePart
from afl_sim.streams import Streams

PURPOSE = "test_share"


def hold_out(
    samples: SourcePart, share: float, seed: int, owners: int
) -> tuple[SourcePart, SourcePart]:
    """The training and the test set, each in the order of the files.

    Of every client a share of its samples is held out, rounded, and at least one is kept.

    Args:
        samples: all samples.
        share: from 0 to 1.
        seed: of the draw.
        owners: number of clients; 0 if the data names none.

    Raises:
        DataError: the share is too small for any client to hold out a sample.
    """
    streams = Streams(seed)
    held = np.zeros(len(samples), dtype=np.bool_)
    for owner, rows in enumerate(_rows_by_owner(samples.owners, owners, len(samples))):
        count = min(round(share * len(rows)), len(rows) - 1)
        if count > 0:
            order = streams.generator(PURPOSE, owner).permutation(len(rows))
            held[rows[order[:count]]] = True
    if not held.any():
        raise DataError(
            f"data.dataset.test_share: {share} of the {len(samples)} samples"
            f"{', client by client,' if owners else ''} leaves none for the test set; expected more"
        )
    return samples.rows(np.flatnonzero(~held)), samples.rows(np.flatnonzero(held))


def _rows_by_owner(owners: Ints | None, count: int, total: int) -> list[Ints]:
    if owners is None:
        return [np.arange(total)]
    order = np.argsort(owners, kind="stable")
    ends = np.searchsorted(owners[order], np.arange(count + 1))
    return [order[ends[i] : ends[i + 1]] for i in range(count)]
