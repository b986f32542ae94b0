"""The source `package.module:factory`: a function of the user's that gives samples."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from afl_sim.errors import DataError, ScenarioError
from afl_sim.lazy import torch
from afl_sim.learning.data.sources.columns import Column, Ragged, Values, Words
from afl_sim.learning.data.sources.files import HeldOut, source_of
from afl_sim.learning.data.sources.inputs import InputRules
from afl_sim.learning.data.sources.opening import FileColumns
from afl_sim.learning.data.sources.source import Array, Source, bad
from afl_sim.learning.data.sources.targets import MOST_CLASSES
from afl_sim.scenario.own_rules import load
from afl_sim.scenario.sections.datasets import LARGEST_VOCABULARY, FactoryDataset
from afl_sim.scenario.wording import hint, show
from afl_sim.user_code import reason

_KEYS = ("train", "test", "classes", "target", "vocabulary")
_PARTS = ("inputs", "labels", "client", "weight")
_THREADS = 8
_TOGETHER = 64  # items that a thread reads in a row


def find_factory(name: str) -> Callable[..., Any]:
    """The function of this name, ``package.module:factory``.

    Raises:
        ScenarioError: there is no such module or function, or it fails to import.
    """
    try:
        found = load(name, "dataset")
    except ScenarioError as error:
        raise ScenarioError(f"data.dataset.kind: {error}") from error
    if not callable(found):
        raise ScenarioError(
            f"data.dataset.kind: {name} cannot be called; expected a function that returns samples"
        )
    return found


def read_factory(spec: FactoryDataset, factory: Callable[..., Any]) -> Source:
    """Call a user's function, and read what it returns once.

    Args:
        spec: the block; its other keys are the function's arguments.
        factory: the function.

    Raises:
        DataError: it fails, or returns something else than own-data.md says.
    """
    try:
        given = factory(**spec.arguments())
    except (Exception, SystemExit) as error:
        raise bad(spec.kind, "kind", f"failed: {reason(error)}") from error
    if not isinstance(given, Mapping):
        expected = f"expected a dictionary with the keys {', '.join(_KEYS)}"
        raise bad(spec.kind, "kind", f"returned {type(given).__name__}; {expected}")
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        near = hint(str(unknown[0]), _KEYS)
        expected = f"expected {', '.join(_KEYS)}"
        raise bad(spec.kind, "kind", f"returned the key {unknown[0]!r}; {expected}{near}")
    if "train" not in given:
        raise bad(
            spec.kind, "kind", "returned no 'train'; expected the training set under this key"
        )
    if ("test" in given) == (spec.test_share is not None):
        found = (
            "both 'test' and a test_share" if "test" in given else "neither 'test' nor a test_share"
        )
        raise bad(spec.kind, "test_share", f"there is {found}; expected one of them")
    train = _columns(spec.kind, "train", given["train"])
    test = [_columns(spec.kind, "test", given["test"])] if "test" in given else []
    classes = _classes(spec.kind, given.get("classes"))
    vocabulary = _amount(spec.kind, "vocabulary", given.get("vocabulary"), LARGEST_VOCABULARY)
    target = given.get("target")
    if target not in (None, "class", "number", "several", "tokens"):
        raise bad(
            spec.kind,
            "kind",
            f"returned the target {target!r}; expected class, number, several or tokens",
        )
    held = None if spec.test_share is None else HeldOut(spec.test_share, spec.test_seed)
    return source_of([train], test, InputRules(vocabulary=vocabulary), target, classes, held)


def _classes(kind: str, given: Any) -> int | tuple[str, ...] | None:
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given):
        names = tuple(map(str, given))
        if len(set(names)) == len(names):
            return names
    return _amount(kind, "classes", given, MOST_CLASSES, ", or a list of different names")


def _amount(kind: str, name: str, given: Any, most: int, more: str = "") -> int | None:
    if given is None:
        return None
    whole = isinstance(given, int | np.integer) and not isinstance(given, bool)
    if not whole or not 1 <= given <= most:
        raise bad(
            kind,
            "kind",
            f"returned {name}: {show(given)}; expected a whole number from 1 to {most}{more}",
        )
    return int(given)


def _columns(kind: str, part: str, given: Any) -> FileColumns:
    place = Path(f"{kind}, {part}")
    if isinstance(given, torch.utils.data.Dataset) or (
        hasattr(given, "__getitem__") and not isinstance(given, tuple | Mapping)
    ):
        fields = _read_items(place, given)
    elif isinstance(given, tuple) and 2 <= len(given) <= 4:
        fields = dict(zip(_PARTS, given, strict=False))
    else:
        raise bad(
            place,
            "kind",
            f"got {type(given).__name__}; expected a torch.utils.data.Dataset with a length, or a "
            "tuple (inputs, labels) or (inputs, labels, clients)",
        )
    columns = {
        name: Column(place, name, values, _is_tokens(name, values))
        for name, value in fields.items()
        if value is not None
        for values in [_values(place, name, value)]
    }
    for name in _PARTS[:2]:
        if name not in columns:
            raise bad(place, "kind", f"its {name} are None; expected values for all samples")
    return FileColumns(
        (columns["inputs"],), (columns["labels"],), columns.get("client"), columns.get("weight")
    ).checked()


def _is_tokens(name: str, values: Values) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.dtype != np.uint8


def _read_items(place: Path, dataset: Any) -> dict[str, list[Any]]:
    """All items of a data set, read by several threads, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
        raise bad(place, "kind", f"{type(dataset).__name__} has no length; expected one with items")
    count = len(dataset)
    if not count:
        raise bad(place, "kind", "has no samples; expected at least one")

    def read(begin: int) -> list[tuple[Any, ...]]:
        items = []
        for index in range(begin, min(begin + _TOGETHER, count)):
            try:
                item = dataset[index]
            except (Exception, SystemExit) as error:
                raise bad(place, "kind", f"item {index} failed: {reason(error)}") from error
            if not isinstance(item, tuple | list) or not 2 <= len(item) <= 4:
                raise bad(
                    place,
                    "kind",
                    f"item {index} is {_told(item)}; expected (input, label) or "
                    "(input, label, client)",
                )
            items.append(tuple(item))
        return items

    console = Console(stderr=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        blocks = pool.map(read, range(0, count, _TOGETHER))
        total = -(-count // _TOGETHER)
        shown = track(
            blocks,
            f"reading {place}",
            total,
            console=console,
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        items = [item for block in shown for item in block]
    width = len(items[0])
    for index, item in enumerate(items):
        if len(item) != width:
            raise bad(place, "kind", f"item {index} has {len(item)} parts; expected {width}")
    return {name: [item[i] for item in items] for i, name in enumerate(_PARTS[:width])}


def _told(item: Any) -> str:
    if isinstance(item, tuple | list):
        return f"a {type(item).__name__} of {len(item)}"
    return f"a {type(item).__name__}"


def _values(place: Path, name: str, value: Any) -> Values:
    """A whole array, or a list of items, as the values of a column."""
    if isinstance(value, torch.Tensor | np.ndarray):
        try:
            array = _array(value)
        except (TypeError, NotImplementedError, RuntimeError) as error:
            # Such as a tensor without memory.
            raise _wrong(place, name, f"cannot be read: {reason(error)}") from error
        if array.dtype.kind == "U" and array.ndim == 1:
            return _words(array.tolist())
        return _numeric(place, name, array, None)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not len(value):
        found = "an empty list" if isinstance(value, Sequence) else f"a {type(value).__name__}"
        raise _wrong(place, name, f"got {found}; expected a tensor, an array or a list")
    if all(isinstance(each, str) for each in value):
        return _words(list(value))
    arrays = [_numeric(place, name, _item(each), row) for row, each in enumerate(value)]
    shape = arrays[0].shape
    odd = next((row for row, array in enumerate(arrays) if array.shape != shape), None)
    if odd is None:
        return np.stack(arrays)
    if all(array.ndim == 1 and array.dtype.kind in "iu" for array in arrays):
        offsets = np.cumsum([0, *map(len, arrays)]).astype(np.int64)
        return Ragged(np.concatenate(arrays), offsets)
    raise _wrong(place, name, f"has the shape {arrays[odd].shape}; expected {shape}", odd)


def _array(value: Any) -> Array:
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    dense = value.detach().cpu().to_dense() if value.layout != torch.strided else value.detach()
    found: Array = (dense.float() if dense.dtype == torch.bfloat16 else dense).cpu().numpy()
    return found


def _item(value: Any) -> Array:
    array = _array(value)
    is_picture = type(value).__module__.startswith("PIL.")
    return array.transpose(2, 0, 1) if is_picture and array.ndim == 3 else array


def _numeric(place: Path, name: str, array: Array, row: int | None) -> Array:
    if array.dtype.kind not in "biuf":
        raise _wrong(place, name, f"has the type {array.dtype}; expected numbers", row)
    if row is None and not array.ndim:
        raise _wrong(place, name, "is a single value; expected one for each sample")
    return array


def _words(texts: list[str]) -> Words:
    names, codes = np.unique(np.array(texts), return_inverse=True)
    return Words(codes.astype(np.int64), tuple(names.tolist()))


def _wrong(place: Path, name: str, problem: str, row: int | None = None) -> DataError:
    return Column(place, name, np.empty(0)).error("kind", problem, row)
