"""Hooks must be pure: one that changes what it is given is refused, before anything is made of it.

A tensor counts its changes, so looking at the counts before and after a call costs next to nothing.
What is written through NumPy or ``.data`` is not counted. Checksums find it, which are taken at the
first, second, fourth, eighth call and so on.
"""

from __future__ import annotations

import inspect
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from afl_sim.errors import StrategyError
from afl_sim.user_code import code_of

_PLAIN = frozenset({int, float, str, bool, type(None)})
_MANY = 64  # things in a call's arguments; where there are more, not every call is looked at
_CHECKSUMS = 1 << 26  # bytes of a call's arguments that checksums are taken of


class Watch:
    """Looks on while a strategy's hooks run.

    Args:
        base: the class whose own hooks are known to be pure.
    """

    def __init__(self, base: type) -> None:
        self._base = base
        self._calls: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    @contextmanager
    def hook(self, strategy: object, name: str, **arguments: Any) -> Iterator[None]:
        """A block that calls a hook, or a function of the strategy's, with these arguments.

        Raises:
            StrategyError: the hook changed one of them, or raised an exception.
        """
        own = getattr(type(strategy), name, None)
        looks = (own is None or own is not getattr(self._base, name, None)) and self._turn(name)
        before = _Marks(arguments, self._is_power(name)) if looks else None
        with code_of(strategy, name):
            yield
        if before is None:
            return
        after = _Marks(arguments, before.checksums)
        self._sizes[name] = len(after.marks)
        if after.marks != before.marks:
            raise StrategyError(
                f"strategy {getattr(strategy, 'kind', type(strategy).__qualname__)}: {name} "
                f"changed {_changed(before, arguments)}, which it was given; expected new values, "
                f"and arguments left as they are{_place(own)}"
            )

    def _turn(self, name: str) -> bool:
        """Whether this call is looked at: the more there is to look at, the fewer are."""
        self._calls[name] += 1
        return self._calls[name] % max(1, self._sizes[name] // _MANY) == 0

    def _is_power(self, name: str) -> bool:
        calls = self._calls[name]
        return not calls & (calls - 1)


class _Marks:
    """What shows whether arguments are as they were.

    Attributes:
        marks: of everything in the arguments, in order.
        names: what each mark is of, if names are wanted.
        checksums: whether contents are looked at, too.
    """

    def __init__(self, arguments: Mapping[str, Any], checksums: bool, named: bool = False) -> None:
        self.marks: list[Any] = []
        self.names: list[str] = []
        self.checksums = checksums
        self._named = named
        self._left = _CHECKSUMS if checksums else 0
        self._alive: list[Any] = []  # so that nothing new gets the id of something old
        for name, value in arguments.items():
            self._take(value, name)

    def _take(self, value: Any, name: str) -> None:
        kind = type(value)
        if kind in _PLAIN:
            self._add(value, name)
        elif kind is Tensor or isinstance(value, Tensor):
            self._alive.append(value)
            self._add((id(value), *self._counts(value)), name)
        elif isinstance(value, Mapping):
            self._add(list(value), name)
            for key, item in value.items():
                self._take(item, f"{name}[{key!r}]" if self._named else "")
        elif isinstance(value, list | tuple):
            self._add(len(value), name)
            for i, item in enumerate(value):
                self._take(item, f"{name}[{i}]" if self._named else "")
        else:
            self._alive.append(value)
            self._add(id(value), name)
            for field in getattr(kind, "__dataclass_fields__", ()):  # frozen, but for its tensors
                item = getattr(value, field)
                if isinstance(item, Tensor):
                    self._take(item, f"{name}.{field}" if self._named else "")

    def _add(self, mark: Any, name: str) -> None:
        self.marks.append(mark)
        if self._named:
            self.names.append(name)

    def _counts(self, tensor: Tensor) -> tuple[int | None, int | None]:
        """How often it was changed, and a checksum; None for what is not known."""
        try:
            version = tensor._version
        except RuntimeError:  # tensors of inference mode do not count
            version = None
        if not self._left or not 0 < tensor.nbytes <= self._left:
            return version, None
        self._left -= tensor.nbytes
        content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        return version, zlib.crc32(content.numpy().data)


def _changed(before: _Marks, arguments: Mapping[str, Any]) -> str:
    """The name of the first argument, or part of one, that is not as it was."""
    after = _Marks(arguments, before.checksums, named=True)
    pairs = zip_longest(before.marks, after.marks)
    place = next((i for i, (old, new) in enumerate(pairs) if old != new), 0)
    return after.names[min(place, len(after.names) - 1)]


def _place(hook: Any) -> str:
    code = getattr(inspect.unwrap(hook), "__code__", None) if callable(hook) else None
    return "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
