"""Columns as the clients that samples come from, and as weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from afl_sim.learning.data.sources.columns import Column, Words, first_row, kind_of
from afl_sim.learning.data.sources.inputs import dense, finite_float32
from afl_sim.learning.data.sources.source import Floats, Ints

CLIENT, WEIGHT = "client", "weight"


def owner_names_of(train: Sequence[Column], test: Sequence[Column]) -> tuple[str, ...]:
    """The clients of the training set, and then those that only the test set has.

    Each group is in the order of the clients' numbers, or else of their names.

    Raises:
        DataError: clients are neither text nor whole numbers.
    """
    known = _different(train)
    return (*known, *(name for name in _different(test) if name not in known))


def _different(columns: Sequence[Column]) -> tuple[str, ...]:
    """The different clients, in the order of their numbers or else of their names.

    Raises:
        DataError: they are neither text nor whole numbers.
    """
    names: set[str] = set()
    numbers: set[int] = set()
    for column in columns:
        values = column.values
        if isinstance(values, Words):
            names |= {values.names[code] for code in np.unique(values.codes).tolist()}
        elif isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.ndim == 1:
            numbers |= set(np.unique(values).tolist())
        else:
            found = kind_of(values)
            raise column.error(
                CLIENT, f"has {found}; expected text or whole numbers that name clients"
            )
    return (*map(str, sorted(numbers)), *sorted(names - {str(number) for number in numbers}))


def owners_of(column: Column, names: tuple[str, ...]) -> Ints:
    """int64 (n,): the place of each sample's client in ``names``."""
    places = {name: place for place, name in enumerate(names)}
    values = column.values
    if isinstance(values, Words):
        table = np.array([places.get(name, 0) for name in values.names], dtype=np.int64)
        return table[values.codes]
    different, codes = np.unique(dense(column, CLIENT), return_inverse=True)
    return np.array([places[str(n)] for n in different.tolist()], dtype=np.int64)[codes]


def weights_of(column: Column) -> Floats:
    """float32 (n,), all above 0.

    Raises:
        DataError: one is not.
    """
    values = dense(column, WEIGHT)
    if values.ndim != 1:
        raise column.error(WEIGHT, f"has {kind_of(values)}; expected one number for each sample")
    weights = finite_float32(values, column, WEIGHT)
    if not (weights > 0).all():
        row = first_row(~(weights > 0))
        raise column.error(WEIGHT, f"is {values[row]}; expected a number above 0", row)
    return weights
