"""Hooks must be pure: a run ends with an error if a hook changes one of its arguments.

A tensor counts its changes, so comparing the counts before and after a call costs almost nothing.
Changes through NumPy or ``.data`` are not counted. Checksums of the contents find them; they are
taken at the first, second, fourth, eighth call and so on.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from afl_sim.errors import StrategyError
from afl_sim.portable.block import ADVICE
from afl_sim.portable.mode import NotPortable
from afl_sim.user_code import code_of, place_of

_PLAIN = frozenset({int, float, str, bool, type(None)})
_MANY = 64  # objects in a call's arguments; if there are more, only some calls are checked
_CHECKSUMS = 1 << 26  # the most bytes of a call's arguments of which checksums are taken


class NotPortableHook(StrategyError):
    """A hook uses an operation that portable arithmetic does not have."""


class PurityCheck:
    """Checks the hooks of a strategy while they run.

    Args:
        base: the class whose own hooks are known to be pure.
    """

    def __init__(self, base: type) -> None:
        self._base = base
        self._calls: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()

    @contextmanager
    def hook(self, strategy: object, name: str, **arguments: Any) -> Iterator[None]:
        """A block that calls a hook of the strategy, or another of its functions.

        Args:
            strategy: the strategy.
            name: the name of the hook.
            arguments: what it is called with.

        Raises:
            StrategyError: the hook changed one of the arguments, raised an exception, or uses an
                operation that the run's arithmetic does not have.
        """
        own = getattr(type(strategy), name, None)
        is_own = own is None or own is not getattr(self._base, name, None)
        checked = is_own and self._is_its_turn(name)
        before = _Marks(arguments, self._is_power_of_two(name)) if checked else None
        with code_of(strategy, name), _portable_code(strategy, name):
            yield
        if before is None:
            return
        after = _Marks(arguments, before.checksums)
        self._sizes[name] = len(after.marks)
        if after.marks != before.marks:
            raise StrategyError(
                f"strategy {getattr(strategy, 'kind', type(strategy).__qualname__)}: {name} "
                f"changed {_changed(before, arguments)}, which it was given; "
                f"expected new values, and unchanged arguments{place_of(own)}"
            )

    def _is_its_turn(self, name: str) -> bool:
        """Whether this call is checked: calls with many arguments are checked less often."""
        self._calls[name] += 1
        return self._calls[name] % max(1, self._sizes[name] // _MANY) == 0

    def _is_power_of_two(self, name: str) -> bool:
        calls = self._calls[name]
        return not calls & (calls - 1)


class _Marks:
    """Marks of a call's arguments, which differ if an argument has changed.

    Attributes:
        marks: one for each object in the arguments, in order.
        names: the name of each of these objects, if names are wanted.
        checksums: whether the marks of tensors include checksums of their contents.
    """

    def __init__(self, arguments: Mapping[str, Any], checksums: bool, named: bool = False) -> None:
        self.marks: list[Any] = []
        self.names: list[str] = []
        self.checksums = checksums
        self._named = named
        self._left = _CHECKSUMS if checksums else 0
        self._alive: list[Any] = []  # so that no new object gets the id of an old one
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
        """How often the tensor was changed, and a checksum; None for what is not known."""
        try:
            version = tensor._version
        except RuntimeError:  # tensors of inference mode do not count
            version = None
        if not self._left or not 0 < tensor.nbytes <= self._left:
            return version, None
        self._left -= tensor.nbytes
        content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        return version, zlib.crc32(content.numpy().data)


@contextmanager
def _portable_code(strategy: object, hook: str) -> Iterator[None]:
    try:
        yield
    except NotPortable as error:
        kind = getattr(strategy, "kind", type(strategy).__qualname__)
        raise NotPortableHook(f"strategy {kind}: {hook} uses {error}; {ADVICE}") from None


def _changed(before: _Marks, arguments: Mapping[str, Any]) -> str:
    """The name of the first argument, or part of an argument, that has changed."""
    after = _Marks(arguments, before.checksums, named=True)
    pairs = zip_longest(before.marks, after.marks)
    place = next((i for i, (old, new) in enumerate(pairs) if old != new), 0)
    return after.names[min(place, len(after.names) - 1)]
