"""Columns as inputs of a model: images, numbers or tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from afl_sim.learning.data.sources.columns import (
    Column,
    Encoded,
    Ragged,
    Values,
    Words,
    first_row,
    kind_of,
)
from afl_sim.learning.data.sources.images import decode_images
from afl_sim.learning.data.sources.source import Array
from afl_sim.scenario.sections.datasets import LARGEST_VOCABULARY

KEY = "inputs"
_MANY = 2**17  # a vocabulary that is larger needs as many tokens in the data, or `vocabulary`
_ROWS = 4096
InputType = Literal["images", "numbers", "tokens"]
Columns = Sequence[Column]
"""One file's columns of inputs."""


@dataclass(frozen=True)
class InputRules:
    """How inputs are read; see the keys of `FilesDataset` with these names."""

    type: InputType | None = None
    channels: Literal["first", "last"] | None = None
    size: tuple[int, int] | None = None
    padding: int = 0
    length: int | None = None
    vocabulary: int | None = None


def type_of(columns: Columns, rules: InputRules) -> InputType:
    """What a file's inputs are.

    Raises:
        DataError: several columns are not all numbers, or the type has to be given.
    """
    column = columns[0]
    if len(columns) > 1:
        for each in columns:
            if not isinstance(each.values, np.ndarray) or each.values.ndim != 1:
                raise each.error(
                    KEY, f"has {kind_of(each.values)}; expected one number in each of these columns"
                )
        return rules.type or "numbers"
    values = column.values
    found: InputType | None = None
    if isinstance(values, Encoded):
        found = "images"
    elif isinstance(values, Ragged):
        found = "tokens"
    elif isinstance(values, Words):
        raise column.error(KEY, "has text; expected numbers, lists of tokens, or encoded images")
    elif values.dtype == np.uint8 and values.ndim in (3, 4) and not column.listed:
        found = "images"
    elif values.dtype.kind in "iu" and values.ndim == 2:
        if column.listed:
            found = "tokens"
        elif values.dtype != np.uint8 and rules.type is None:
            raise column.error(
                KEY, f"has {kind_of(values)}; expected `type: tokens` or `type: numbers` with them"
            )
    chosen = rules.type or found or "numbers"
    if isinstance(values, Encoded) and chosen != "images":
        raise column.error(KEY, f"has encoded images; expected no `type`, or images, not {chosen}")
    if isinstance(values, Ragged) and chosen != "tokens":
        raise column.error(
            KEY,
            f"has lists of different lengths; expected one length, or `type: tokens`, not {chosen}",
        )
    return chosen


def numbers(columns: Columns) -> Array:
    """Float32 (n, ...), all finite. An array that is float32 already is not copied.

    Raises:
        DataError: they are no numbers, or not finite.
    """
    if len(columns) > 1:
        return np.concatenate([numbers([column]) for column in columns], axis=1)
    column = columns[0]
    values = dense(column, KEY)
    if values.ndim == 1 or values.ndim == 3:
        values = values[:, None]
    if 0 in values.shape[1:]:
        raise column.error(
            KEY, f"has samples of shape {values.shape[1:]}; expected numbers in them"
        )
    return finite_float32(values, column, KEY)


def finite_float32(values: Array, column: Column, key: str) -> Array:
    """Numbers as float32, if all are finite; an array that is float32 already is not copied."""
    result = values if values.dtype == np.float32 else np.empty(values.shape, np.float32)
    for begin in range(0, len(values), _ROWS):
        block = values[begin : begin + _ROWS]
        with np.errstate(over="ignore"):
            converted = block.astype(np.float32, copy=False)
        wrong = ~np.isfinite(converted)
        if wrong.any():
            row = first_row(wrong)
            found = np.asarray(block[row]).reshape(-1)[int(np.argmax(wrong[row].reshape(-1)))]
            raise column.error(key, f"is {found}; expected finite numbers of float32", begin + row)
        if result is not values:
            result[begin : begin + _ROWS] = converted
    return result


def dense(column: Column, key: str) -> Array:
    """The values of a column of numbers.

    Raises:
        DataError: it has something else.
    """
    if not isinstance(column.values, np.ndarray):
        raise column.error(key, f"has {kind_of(column.values)}; expected numbers")
    return column.values


def images(columns: Columns, rules: InputRules, channels: int = 1) -> Array:
    """Images (n, C, H, W): uint8, or float32 if they are stored as such numbers.

    Args:
        columns: one column.
        rules: how they are read.
        channels: the least number of channels of encoded images.

    Raises:
        DataError: they are no images, or not all of one size.
    """
    if len(columns) > 1:
        raise columns[1].error(KEY, "is a second column; expected one column of images")
    column = columns[0]
    values: Values = column.values
    if isinstance(values, Encoded):
        return decode_images(
            values.images,
            lambda row, problem: column.error(KEY, problem, row),
            rules.size,
            channels=channels,
        )
    values = dense(column, KEY)
    if values.ndim == 3:
        values = values[:, None]
    elif values.ndim == 4:
        values = _channels_first(values, column, rules)
    else:
        raise column.error(
            KEY, f"has {kind_of(values)}; expected images of 2 or 3 dimensions for each sample"
        )
    if rules.size is not None and values.shape[2:] != rules.size:
        raise column.error(
            KEY, f"has images of {values.shape[2]} x {values.shape[3]}; size is for encoded images"
        )
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind in "iu" and len(values) and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    return finite_float32(values, column, KEY)


def _channels_first(values: Array, column: Column, rules: InputRules) -> Array:
    first, last = values.shape[1] in (1, 3), values.shape[3] in (1, 3)
    place = rules.channels
    if place is None:
        if first == last:
            found = f"has samples of shape {values.shape[1:]}"
            raise column.error(KEY, f"{found}; expected `channels: first` or `channels: last`")
        place = "first" if first else "last"
    return values if place == "first" else values.transpose(0, 3, 1, 2)


def tokens(column: Column, rules: InputRules, longest: int) -> Array:
    """Int64 tokens (n, longest), filled up with padding at the end.

    Raises:
        DataError: they are no whole numbers from 0, or a sequence is empty.
    """
    values = column.values
    if isinstance(values, Ragged) and not isinstance(values.items, Words):
        empty = np.diff(values.offsets) == 0
        if empty.any():
            raise column.error(KEY, "is an empty list; expected tokens", int(np.argmax(empty)))
        _whole_tokens(values.items, column, rules, values)
        return padded(values, longest, rules.padding)
    values = dense(column, KEY)
    if values.ndim != 2:
        raise column.error(KEY, f"has {kind_of(values)}; expected a list of tokens in each sample")
    _whole_tokens(values, column, rules)
    result = np.full((len(values), longest), rules.padding, dtype=np.int64)
    taken = min(longest, values.shape[1])
    result[:, :taken] = values[:, :taken]
    return result


def longest_of(column: Column) -> int:
    """Number of tokens in the longest sequence."""
    values = column.values
    if isinstance(values, Ragged):
        return int(np.diff(values.offsets).max(initial=0))
    return values.shape[1] if isinstance(values, np.ndarray) and values.ndim == 2 else 0


def padded(lists: Ragged, longest: int, filling: int) -> Array:
    """Lists of whole numbers as int64 (n, longest); what is too long loses its end."""
    assert isinstance(lists.items, np.ndarray)
    lengths = np.minimum(np.diff(lists.offsets), longest)
    places = np.arange(longest)
    there = places < lengths[:, None]
    result = np.full(there.shape, filling, dtype=np.int64)
    result[there] = lists.items[(lists.offsets[:-1, None] + places)[there]]
    return result


def vocabulary_of(column: Column, parts: Sequence[Array], rules: InputRules) -> int:
    """Number of different tokens.

    Args:
        column: the training set's.
        parts: int64 (n, length), the tokens of the training set and of the test set.
        rules: how they were read.

    Raises:
        DataError: the padding is not among them, or so large a number is likely a mistake.
    """
    largest = max(int(part.max()) for part in parts)
    limit = (rules.vocabulary or LARGEST_VOCABULARY) - 1
    if largest > limit:  # the tokens themselves are not
        raise column.error("padding", f"is {rules.padding}; expected 0 to {limit}")
    if rules.vocabulary is not None:
        return rules.vocabulary
    if largest >= max(_MANY, sum(part.size for part in parts)):
        raise column.error(
            KEY,
            f"has the token {largest}, which would be one of {largest + 1}; expected tokens from 0 "
            "on, or `vocabulary`",
        )
    return largest + 1


def _whole_tokens(
    values: Array, column: Column, rules: InputRules, lists: Ragged | None = None
) -> None:
    if values.dtype.kind not in "iu":
        raise column.error(KEY, f"has {kind_of(values)}; expected whole numbers as tokens")
    limit = (rules.vocabulary or LARGEST_VOCABULARY) - 1
    wrong = (values < 0) | (values > limit)
    if wrong.any():
        at = first_row(wrong)
        found = values[at] if lists is not None else values[at][wrong[at]][0]
        row = at if lists is None else int(np.searchsorted(lists.offsets, at, side="right")) - 1
        raise column.error(KEY, f"has the token {found}; expected 0 to {limit}", row)
