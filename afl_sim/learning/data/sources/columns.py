"""One array or one column of a file, and what its values can be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.sources.source import Array, Ints, bad


@dataclass(frozen=True)
class Words:
    """Text: int64 codes (n,), indices into the different words."""

    codes: Ints
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)


class Contents(Protocol):
    """The contents of image files, one for each sample, possibly read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> bytes: ...


@dataclass(frozen=True)
class Encoded:
    """Bytes of encoded images, one for each sample."""

    images: Contents

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Ragged:
    """Lists of different lengths: list i has the items ``offsets[i]`` to ``offsets[i + 1]``."""

    items: Array | Words
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1


Values = Array | Words | Encoded | Ragged


@dataclass(frozen=True)
class Column:
    """One array or column.

    Attributes:
        file: where it was read.
        name: how it is called there; empty for the only array of a file.
        values: one for each sample.
        listed: whether it was written as one list for each sample, and not as an array.
    """

    file: Path
    name: str
    values: Values
    listed: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def error(self, key: str, problem: str, row: int | None = None) -> DataError:
        """The error for this column.

        Args:
            key: the key of ``data.dataset`` that named it.
            problem: what was found and expected.
            row: the sample, counted from 0.
        """
        what = [f"'{self.name}'"] if self.name else []
        if row is not None:
            what.append(f"sample {row} (the first is 0)")
        return bad(self.file, key, f"{', '.join(what)}: {problem}" if what else problem)


def kind_of(values: Values) -> str:
    """What values are, in words."""
    if isinstance(values, Words):
        return "text"
    if isinstance(values, Encoded):
        return "encoded images"
    if isinstance(values, Ragged):
        return f"lists of different lengths of {kind_of(values.items)}"
    names = {"b": "true/false", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}
    shape = "" if values.ndim == 1 else f" of shape {values.shape[1:]} for each sample"
    return f"{names[values.dtype.kind]} ({values.dtype}){shape}"


def first_row(wrong: Array) -> int:
    """The first sample with a true entry, of (n, ...)."""
    return int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))
