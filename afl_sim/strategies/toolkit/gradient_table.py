"""Tables of the deltas that each client has sent.

The table keeps the sum over all clients as well. An update changes this sum by the change of its
client, so the cost of a step does not grow with the number of clients. The sum is in float64, so
that rounding errors do not add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.inputs import Update


class Table(TypedDict):
    r"""What the clients have sent.

    Attributes:
        rows: client -> (the sum $s_i$ of its deltas, their number $B_i$).
        means: shape (P,), float64: $\sum_i s_i / B_i$ over the clients.
    """

    rows: Mapping[int, tuple[Tensor, int]]
    means: Tensor


def empty(params: Tensor) -> Table:
    """A table without clients."""
    return {"rows": {}, "means": torch.zeros_like(params, dtype=torch.float64)}


def tabulated(table: Table, updates: Sequence[Update]) -> Table:
    """A new table with the updates added to those in the old one."""
    rows = dict(table["rows"])
    for update in updates:
        total, number = rows.get(update.client, (None, 0))
        rows[update.client] = (
            update.delta if total is None else total + update.delta,
            number + 1,
        )
    return _changed(table, rows, updates)


def replaced(table: Table, updates: Sequence[Update]) -> Table:
    """A new table in which each of these clients has only its last update."""
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
    r"""$\frac{1}{n} \sum_i s_i / B_i$ over the table's n clients, in the type of the deltas."""
    (first, _), *_ = table["rows"].values()
    return (table["means"] / len(table["rows"])).to(first.dtype)
