"""Columns as labels: classes, numbers, several classes, or a class for each position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afl_sim.learning.data.sample_form import IGNORED, Target
from afl_sim.learning.data.sources.columns import Column, Encoded, Ragged, Words, first_row, kind_of
from afl_sim.learning.data.sources.inputs import finite_float32, padded
from afl_sim.learning.data.sources.source import Array, Ints
from afl_sim.scenario.wording import hint

KEY = "labels"
_SHOWN = 8  # names that a message lists
MOST_CLASSES = 2**20
"""The most classes: a model has an output for each of them."""

_MANY = 10_000  # as many classes as this need as many labels, or `classes`

Columns = Sequence[Column]
"""One file's columns of labels."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        count: their number.
        names: of classes that are words; else empty.
    """

    count: int
    names: tuple[str, ...] = ()


def target_of(columns: Columns, tokens: bool) -> Target:
    """What labels are, by their type.

    Args:
        columns: a file's columns of labels.
        tokens: whether the inputs are tokens.

    Raises:
        DataError: it has to be given.
    """
    column, values = columns[0], columns[0].values
    if isinstance(values, Encoded):
        raise column.error(KEY, "has encoded images; expected numbers or text")
    if isinstance(values, Words):
        return "class"
    if isinstance(values, Ragged):
        if isinstance(values.items, Words):
            return "several"
        if tokens:
            return "tokens"
        raise column.error(KEY, f"has {kind_of(values)}; expected `target: several` with them")
    if values.dtype.kind == "f":
        return "number"
    if values.ndim == 1 and len(columns) == 1:
        return "class"
    if tokens and column.listed:
        return "tokens"
    if values.dtype == np.bool_ or all(_only_zero_and_one(each) for each in columns):
        return "several"
    raise column.error(
        KEY,
        f"has {kind_of(values)}; expected `target` to say whether they are number, several or "
        f"tokens",
    )


def _only_zero_and_one(column: Column) -> bool:
    values = column.values
    return isinstance(values, np.ndarray) and bool(np.isin(values, (0, 1)).all())


def classes_of(
    parts: Sequence[Columns], target: Target, given: int | tuple[str, ...] | None
) -> Classes:
    """The classes, or the number of outputs, of a training set.

    Args:
        parts: the columns of labels of its files.
        target: what they are.
        given: the scenario's ``classes``.

    Raises:
        DataError: the columns are not what ``target`` says.
    """
    if target == "number" or (target == "several" and not _as_lists(parts)):
        return Classes(_width(parts[0]))
    if isinstance(given, tuple):
        return Classes(len(given), given)
    if given is not None and given > MOST_CLASSES:
        raise parts[0][0].error("classes", f"has {given} classes; expected at most {MOST_CLASSES}")
    values = [part[0].values for part in parts]
    items = [value.items if isinstance(value, Ragged) else value for value in values]
    if any(isinstance(item, Words) for item in items):
        names = {
            item.names[code]
            for item in items
            if isinstance(item, Words)
            for code in np.unique(item.codes).tolist()
        }
        if given is not None and given < len(names):
            raise parts[0][0].error(KEY, f"has {len(names)} different words; expected {given}")
        return Classes(given or len(names), tuple(sorted(names)))
    if given is not None:
        return Classes(given)
    found = [item for item in items if isinstance(item, np.ndarray) and item.size]
    largest = max((item.max() for item in found), default=0)
    if largest >= max(_MANY, sum(item.size for item in found)):
        raise parts[0][0].error(
            KEY,
            f"has the label {largest}, which would be one of {int(largest) + 1} classes; expected "
            "labels from 0 on, or `classes`",
        )
    return Classes(int(largest) + 1)


def _as_lists(parts: Sequence[Columns]) -> bool:
    return any(isinstance(part[0].values, Ragged) for part in parts)


def _width(columns: Columns) -> int:
    if len(columns) > 1:
        return len(columns)
    values = columns[0].values
    return int(np.prod(values.shape[1:])) if isinstance(values, np.ndarray) else 1


def labels_of(columns: Columns, target: Target, classes: Classes, longest: int = 0) -> Array:
    """A file's labels, as `SampleForm.target` says.

    Args:
        columns: its columns of labels.
        target: what they are.
        classes: of the training set.
        longest: number of tokens of an input.

    Raises:
        DataError: they are of another type, not finite, or outside the classes.
    """
    column = columns[0]
    if target == "class":
        if len(columns) > 1:
            raise columns[1].error(KEY, "is a second column; expected one column of classes")
        return _classes(column, classes)
    if target == "number":
        return np.concatenate([_numbers(each) for each in columns], axis=1)
    if target == "several":
        if isinstance(column.values, Ragged):
            return _hot(column, column.values, classes)
        return np.concatenate([_zeros_and_ones(each) for each in columns], axis=1)
    return _token_labels(column, classes, longest)


def _classes(column: Column, classes: Classes) -> Ints:
    values = column.values
    if isinstance(values, Words):
        return _coded(column, values, classes)
    if isinstance(values, Ragged | Encoded) or values.ndim != 1:
        raise column.error(KEY, f"has {kind_of(values)}; expected one class for each sample")
    if values.dtype.kind == "f":
        wrong = ~np.isfinite(values) | (values != np.floor(values))
        if wrong.any():
            row = first_row(wrong)
            raise column.error(KEY, f"is {values[row]}; expected whole numbers as classes", row)
    if classes.names:
        names = ", ".join(classes.names[:_SHOWN])
        raise column.error(KEY, f"has {kind_of(values)}; expected the names of classes: {names}")
    return _inside(column, values, classes)


def _inside(column: Column, values: Array, classes: Classes) -> Ints:
    wrong = (values < 0) | (values >= classes.count)
    if wrong.any():
        row = first_row(wrong)
        raise column.error(
            KEY, f"is {values[row]}; expected a class from 0 to {classes.count - 1}", row
        )
    return values.astype(np.int64)


def _coded(column: Column, words: Words, classes: Classes, lists: Ragged | None = None) -> Ints:
    places = {name: place for place, name in enumerate(classes.names)}
    table = np.array([places.get(name, -1) for name in words.names], dtype=np.int64)
    codes = table[words.codes] if len(words.codes) else np.empty(0, np.int64)
    if (codes < 0).any():
        at = first_row(codes < 0)
        word = words.names[int(words.codes[at])]
        row = at if lists is None else int(np.searchsorted(lists.offsets, at, side="right")) - 1
        shown = ", ".join(classes.names[:_SHOWN])
        more = ", ..." if len(classes.names) > _SHOWN else ""
        expected = f"expected one of the {len(classes.names)} classes {shown}{more}"
        if not classes.names:
            expected = "expected whole numbers, as in the training set"
        near = hint(word, classes.names)
        raise column.error(KEY, f"is '{word}'; {expected}{near}", row)
    return codes


def _numbers(column: Column) -> Array:
    values = column.values
    if not isinstance(values, np.ndarray):
        raise column.error(KEY, f"has {kind_of(values)}; expected numbers to predict")
    return finite_float32(values.reshape(len(values), -1), column, KEY)


def _zeros_and_ones(column: Column) -> Array:
    values = column.values
    if not isinstance(values, np.ndarray):
        raise column.error(KEY, f"has {kind_of(values)}; expected 0 and 1 for each class")
    values = values.reshape(len(values), -1)
    wrong = ~np.isin(values, (0, 1))
    if wrong.any():
        row = first_row(wrong)
        raise column.error(
            KEY, f"is {values[row][wrong[row]][0]}; expected 0 or 1 for each class", row
        )
    return values.astype(np.float32)


def _hot(column: Column, lists: Ragged, classes: Classes) -> Array:
    items = lists.items
    if isinstance(items, Words):
        codes = _coded(column, items, classes, lists)
    else:
        wrong = (items < 0) | (items >= classes.count)
        if items.dtype.kind not in "iu" or wrong.any():
            at = first_row(wrong) if wrong.any() else 0
            row = int(np.searchsorted(lists.offsets, at, side="right")) - 1
            raise column.error(
                KEY, f"is {items[at]}; expected classes from 0 to {classes.count - 1}", row
            )
        codes = items.astype(np.int64)
    result = np.zeros((len(lists), classes.count), dtype=np.float32)
    result[np.repeat(np.arange(len(lists)), np.diff(lists.offsets)), codes] = 1
    return result


def _token_labels(column: Column, classes: Classes, longest: int) -> Array:
    values = column.values
    if isinstance(values, np.ndarray) and values.ndim == 2:
        width = values.shape[1]
        values = Ragged(values.reshape(-1), np.arange(len(values) + 1, dtype=np.int64) * width)
    if not isinstance(values, Ragged) or isinstance(values.items, Words):
        raise column.error(KEY, f"has {kind_of(values)}; expected a list of classes in each sample")
    items = values.items
    wrong = ((items < 0) & (items != IGNORED)) | (items >= classes.count)
    if items.dtype.kind not in "iu" or wrong.any():
        at = first_row(wrong) if wrong.any() else 0
        row = int(np.searchsorted(values.offsets, at, side="right")) - 1
        expected = f"0 to {classes.count - 1}, or {IGNORED} for none"
        raise column.error(KEY, f"has the class {items[at]}; expected {expected}", row)
    return padded(values, longest, IGNORED)
