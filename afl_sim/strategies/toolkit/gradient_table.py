"""Tables of what each client has sent: the deltas' sum, their number, and the sum of the means.

The sum over clients is kept beside the table, in float64, and changed by what one client changes: a
step costs the same however many clients there are, and rounding does not build up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import torch
from torch import Tensor

from afl_sim.strategies.inputs import Update


class Table(TypedDict):
    """What the clients have sent.

    Attributes:
        rows: client -> (the sum of its deltas, their number).
        means: shape (P,), float64: the sum over clients of ``sum / number``.
    """

    rows: Mapping[int, tuple[Tensor, int]]
    means: Tensor


def empty(params: Tensor) -> Table:
    """A table in which no client is yet."""
    return {"rows": {}, "means": torch.zeros_like(params, dtype=torch.float64)}


def tabulated(table: Table, updates: Sequence[Update]) -> Table:
    """A new table, the updates added to what the old one holds."""
    rows = dict(table["rows"])
    for update in updates:
        total, number = rows.get(update.client, (None, 0))
        rows[update.client] = (
            update.delta if total is None else total + update.delta,
            number + 1,
        )
    return _changed(table, rows, updates)


def replaced(table: Table, updates: Sequence[Update]) -> Table:
    """A new table in which only the last update of each of these clients counts."""
    rows = dict(table["rows"])
    rows.update((update.client, (update.delta, 1)) for update in updates)
    return _changed(table, rows, updates)


def _changed(table: Table, rows: dict[int, tuple[Tensor, int]], updates: Sequence[Update]) -> Table:
    means = table["means"].clone()
    for client in dict.fromkeys(update.client for update in updates):
        means += _mean(*rows[client])
        if client in table["rows"]:
            means -= _mean(*table["rows"][client])
    return {"rows": rows, "means": means}


def _mean(total: Tensor, number: int) -> Tensor:
    return total if number == 1 else total / number


def mean_of_means(table: Table) -> Tensor:
    """``(1/n) sum_i sum_i / number_i`` over the table's n clients, in the type of the deltas."""
    (first, _), *_ = table["rows"].values()
    return (table["means"] / len(table["rows"])).to(first.dtype)
