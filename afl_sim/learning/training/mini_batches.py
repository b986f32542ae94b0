"""Which samples each step of a task uses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def mini_batches(
    held: npt.NDArray[np.int64],
    batch_size: int | None,
    drop_last: bool,
    steps: int,
    order: np.random.Generator | None,
) -> Iterator[npt.NDArray[np.int64]]:
    """The mini-batches of a task: pass after pass over the client's data.

    Args:
        held: indices of the client's samples, at least one.
        batch_size: samples per mini-batch; None for all that the client has.
        drop_last: leave out the last, smaller mini-batch of a pass, unless it is the only one.
        steps: how many mini-batches in all.
        order: draws a new order for each pass; None keeps the order of ``held``.

    Yields:
        int64 arrays of sample indices, shape (batch,).
    """
    size = batch_size or len(held)
    last = len(held) - len(held) % size if drop_last and len(held) >= size else len(held)
    while True:
        visit = held.copy() if order is None else order.permutation(held)
        for begin in range(0, last, size):
            if not steps:
                return
            steps -= 1
            yield visit[begin : min(begin + size, last)]
