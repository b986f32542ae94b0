"""Pickles read without executing anything.

A pickle is a program, and Python's own reader runs whatever functions it names. This one knows only
the instructions that build dictionaries, lists, tuples, numbers and text. It imports and calls
nothing.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from afl_sim.errors import InputError

_VALUES: Final = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
_PUT: Final = ("PUT", "BINPUT", "LONG_BINPUT")
_GET: Final = ("GET", "BINGET", "LONG_BINGET")
_IGNORED: Final = ("PROTO", "FRAME")
_MARK: Final = object()


class _Refused(Exception):
    pass


def read_pickle(path: Path, content: bytes) -> Any:
    """The value in a pickle of plain dictionaries, lists, tuples, numbers and text.

    Args:
        path: names the file in messages.
        content: its bytes.

    Raises:
        InputError: it is damaged, or holds anything else; the message says how to convert it.
    """
    machine = _Machine()
    place = 0
    try:
        for code, argument, position in pickletools.genops(content):
            place = position or 0
            if code.name == "STOP":
                break
            machine.step(code.name, argument)
        return machine.result()
    except _Refused as refused:
        raise InputError(
            f"{path}: byte {place}: {refused}; expected a pickle of dictionaries, lists, numbers "
            "and text only, since nothing in a file is executed. Convert it where you trust it, "
            'with json.dump(pickle.load(open("FILE", "rb")), open("FILE.json", "w")), and import '
            "the JSON file"
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        why = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(
            f"{path}: byte {place}: not a whole pickle ({why}); expected the file as published"
        ) from None


class _Machine:
    """Builds plain values from a pickle's instructions."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        """The value that was built."""
        (value,) = self._stack
        return value

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _IGNORED:
            pass
        elif name in _PUT:
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in _GET:
            stack.append(self._memo[int(argument)])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in ("SETITEMS", "DICT"):
            values = self._marked()
            if name == "DICT":
                stack.append({})
            self._dictionary().update(zip(values[::2], values[1::2], strict=True))
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._dictionary()[key] = value
        elif name in ("APPENDS", "LIST"):
            values = self._marked()
            if name == "LIST":
                stack.append([])
            self._list().extend(values)
        elif name == "APPEND":
            value = stack.pop()
            self._list().append(value)
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            values = stack[-count:]
            if len(values) < count:
                raise IndexError("too few values")
            del stack[-count:]
            stack.append(tuple(values))
        else:
            raise _Refused(self._refusal(name, argument))

    def _marked(self) -> list[Any]:
        """The values since the last mark, which are taken off."""
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError("no mark")
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _dictionary(self) -> dict[Any, Any]:
        found = self._stack[-1]
        if type(found) is not dict:
            raise TypeError("no dictionary to fill")
        return found

    def _list(self) -> list[Any]:
        found = self._stack[-1]
        if type(found) is not list:
            raise TypeError("no list to fill")
        return found

    def _refusal(self, name: str, argument: Any) -> str:
        if name in ("GLOBAL", "INST") and isinstance(argument, str):
            return f"names {argument.replace(' ', '.')[:80]}"
        if name == "STACK_GLOBAL" and len(self._stack) >= 2:
            return f"names {self._stack[-2]!s:.40}.{self._stack[-1]!s:.40}"
        return f"holds the instruction {name}"
