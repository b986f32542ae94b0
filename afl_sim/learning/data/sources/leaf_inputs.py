"""The inputs of LEAF's data sets: numbers, text by character or by word, and names of images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.sources.images import ImageFiles, decode_images
from afl_sim.learning.data.sources.leaf_files import User
from afl_sim.learning.data.sources.source import Array, Ints, bad

_FEMNIST = 28 * 28
_TEXT = 4  # the field of a tweet, after its id, date, query and user
_WORD = re.compile(r"\w+|[^\w\s]")
PADDING, UNKNOWN = 0, 1


@dataclass(frozen=True)
class Rows:
    """Rows of numbers; 784 of them are an image of FEMNIST.

    Attributes:
        width: numbers in a row.
        bytes: whether all numbers are those of 8-bit images, divided by 255.
        invert: whether images are inverted.
    """

    vocabulary: ClassVar[None] = None
    width: int
    bytes: bool
    invert: bool

    @staticmethod
    def of(users: Sequence[User], width: int, invert: bool) -> Rows:
        """How the rows of these users are read.

        Raises:
            DataError: rows that are no images are to be inverted.
        """
        if width != _FEMNIST and invert:
            raise users[0].error(f"has rows of {width} numbers, which are no images", "invert")
        whole = width == _FEMNIST and all(_is_bytes(_rows(user, width)) for user in users)
        return Rows(width, whole, invert)

    def read(self, users: Sequence[User]) -> Array:
        """uint8 or float32 (n, 1, 28, 28), or float32 (n, width)."""
        parts = []
        for user in users:
            rows = _rows(user, self.width)
            parts.append(np.rint(rows * 255).astype(np.uint8) if self.bytes else rows)
        found = np.concatenate(parts)
        if self.width == _FEMNIST:
            found = found.reshape(-1, 1, 28, 28)
        return found.dtype.type(255 if self.bytes else 1) - found if self.invert else found


def _rows(user: User, width: int) -> Array:
    rows = user.x
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != width:
        raise user.error(f"has inputs that differ; expected lists of {width} numbers")
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise user.error(f"input {row} has a number that is not finite; expected finite numbers")
    return rows


def _is_bytes(rows: Array) -> bool:
    wide = rows * 255
    inside = bool((rows >= 0).all() and (rows <= 1).all())
    return inside and bool((np.abs(wide - np.rint(wide)) < 1e-3).all())


@dataclass(frozen=True)
class Characters:
    """Text by character: token 0 is padding, and token i + 1 is character i.

    Attributes:
        characters: all that occur in inputs and labels, in the order of their code points.
        length: characters in the longest input.
    """

    characters: tuple[str, ...]
    length: int

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""
        return len(self.characters) + 1

    @staticmethod
    def of(users: Sequence[User]) -> Characters:
        """The characters that these users use.

        Raises:
            DataError: an input is no text.
        """
        found: set[str] = set()
        length = 1
        for user in users:
            for text in user.x:
                if not isinstance(text, str):
                    raise user.error(f"has the input {text!r:.40}; expected text, as the first is")
                found.update(text)
                length = max(length, len(text))
            found.update(label for label in user.y if isinstance(label, str) and len(label) == 1)
        found.discard("\0")  # stands for padding
        return Characters(tuple(sorted(found)), length)

    def read(self, users: Sequence[User]) -> Ints:
        """int64 (n, length)."""
        codes = [ord(character) for character in self.characters]
        table = np.full(max(codes) + 1, PADDING, dtype=np.int64)
        table[codes] = np.arange(len(codes)) + 1
        count = sum(len(user.x) for user in users)
        tokens = np.empty((count, self.length), dtype=np.int64)
        row = 0
        for user in users:  # NumPy fills shorter texts up with the code 0
            texts = np.array(user.x, dtype=f"U{self.length}")
            there = tokens[row : row + len(texts)]
            there[:] = table[texts.view(np.uint32).reshape(len(texts), self.length)]
            row += len(texts)
        return tokens


@dataclass(frozen=True)
class Tweets:
    """The words of tweets: token 0 is padding, token 1 any word that is not in `words`.

    Attributes:
        words: from token 2, the most frequent first.
        length: words of a tweet that are used.
    """

    words: tuple[str, ...]
    length: int

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""
        return len(self.words) + 2

    @staticmethod
    def of(train: Sequence[User], vocabulary: int, length: int) -> Tweets:
        """The most frequent words of the training set; of equal ones the first by alphabet.

        Raises:
            DataError: an input is no list of a tweet's fields.
        """
        counts = Counter(
            word for user in train for fields in user.x for word in _split(user, fields)
        )
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        return Tweets(tuple(ordered[: vocabulary - 2]), length)

    def read(self, users: Sequence[User]) -> Ints:
        """int64 (n, length)."""
        table = {word: place + 2 for place, word in enumerate(self.words)}
        count = sum(len(user.x) for user in users)
        tokens = np.full((count, self.length), PADDING, dtype=np.int64)
        tweets = (_split(user, fields) for user in users for fields in user.x)
        for row, words in enumerate(tweets):
            used = [table.get(word, UNKNOWN) for word in words[: self.length]]
            tokens[row, : len(used)] = used
        return tokens


def _split(user: User, fields: object) -> list[str]:
    text = fields[_TEXT] if isinstance(fields, list) and len(fields) > _TEXT else None
    if not isinstance(text, str):
        raise user.error(
            f"has the input {fields!r:.40}; expected the fields of a tweet, whose text is the fifth"
        )
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class NamedImages:
    """Names of image files.

    Attributes:
        folder: where they are.
        size: height and width to which they are resized.
        invert: whether they are inverted.
    """

    vocabulary: ClassVar[None] = None
    folder: Path
    size: tuple[int, int]
    invert: bool

    def read(self, users: Sequence[User]) -> Array:
        """uint8 (n, 3, height, width)."""
        names = [(user, name) for user in users for name in user.x]
        for user, name in names:
            if not isinstance(name, str):
                raise user.error(f"has the input {name!r:.40}; expected the name of an image file")
        places = [self.folder / name for _, name in names]

        def blame(row: int, problem: str) -> DataError:
            return bad(places[row], "images", problem)

        found = decode_images(ImageFiles(places, "images"), blame, self.size, channels=3)
        return 255 - found if self.invert else found
