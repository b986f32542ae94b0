"""One clear error in place of whatever a user's own code raises: whose it was, and where."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.errors import PydanticUserError

from afl_sim.errors import AflSimError, StrategyError

_NOT_THEIRS = (str(Path(__file__).parent), sysconfig.get_path("stdlib"), "<")
FROZEN = "expected local variables, or a state that the method returns"
"""What a class of the user's own should have in place of attributes that it sets."""
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


_RUN_SCHEDULES: set[CodeType] = set()
_F = TypeVar("_F", bound=Callable[..., Any])


def runs_schedules(function: _F) -> _F:
    """Mark a function, never a compiled one, whose calls are those of a strategy's schedule.

    So another thread can tell by a stack whether a schedule runs (`calls_schedule`), without
    knowing what turns the clock.
    """
    _RUN_SCHEDULES.add(function.__code__)
    return function


def calls_schedule(frame: FrameType) -> bool:
    """Whether what the frame calls is a strategy's schedule."""
    return frame.f_code in _RUN_SCHEDULES


@contextmanager
def code_of(
    own: object,
    hook: str,
    noun: str = "strategy",
    told_as: Callable[[str], AflSimError] = StrategyError,
) -> Iterator[None]:
    """A block that runs a method of a user's own strategy or rule.

    Args:
        own: the strategy or rule.
        hook: the name of its method.
        noun: what it is, for the message.
        told_as: makes the error of the message.

    Raises:
        AflSimError: the hook raised anything but an error of this package or a lack of memory.
    """
    try:
        yield
    except (AflSimError, MemoryError):
        raise
    except Exception as error:
        name = getattr(own, "kind", type(own).__qualname__)
        home = home_of(own)
        what = told(error, home)
        if isinstance(error, TypeError) and not _frames_of_users(error, home):
            what = f"{reason(error)}{_expected_call(own, hook)}"  # the call itself failed
        raise told_as(f"{noun} {name}: {hook} raised {what}") from error


def home_of(own: object) -> str | None:
    """The file of an object's class; None if there is none, as in a notebook."""
    return getattr(sys.modules.get(type(own).__module__), "__file__", None)


@contextmanager
def one_error() -> Iterator[None]:
    """A block in which whatever goes wrong becomes an error of this package, of one line.

    Raises:
        AflSimError: in place of any other exception.
    """
    try:
        yield
    except AflSimError:
        raise
    except Exception as error:
        raise AflSimError(told(error)) from error


def reason(error: BaseException) -> str:
    """An exception in one line: its message, and its type unless that is one of this package."""
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(error.code)
        return f"it ended the program with sys.exit({code})"
    if isinstance(error, ValidationError):
        return _of_pydantic(error)
    if isinstance(error, PydanticUserError):
        return _of_class(error)
    message = " ".join(str(error).split())
    if isinstance(error, AflSimError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _of_pydantic(error: ValidationError) -> str:
    """What is wrong with the fields of a frozen class of the user's own."""
    problems = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, detail["loc"]))
        if detail["type"] in ("frozen_instance", "frozen_field"):
            problems.append(f"it sets self.{name}, but a {error.title} cannot be changed; {FROZEN}")
        else:
            problems.append(f"{error.title}.{name}: {detail['msg']}")
    return "; ".join(problems)


def _of_class(error: PydanticUserError) -> str:
    """What is wrong with a class of the user's own when it is defined."""
    message = " ".join(error.message.split())
    found = re.search(r"non-annotated attribute was detected: `(\w+) = (.*?)`\. All", message)
    if found is not None:
        name, value = found.groups()
        try:
            kind = type(ast.literal_eval(value)).__name__
        except (ValueError, SyntaxError):
            kind = "its type"
        return (
            f"the setting {name} has no type; expected {name}: {kind} = {value}, or {name}: "
            f"ClassVar = {value} if it is no setting"
        )
    return message.partition(" For further information")[0]


def told(error: BaseException, home: str | None = None) -> str:
    """`reason`, and the file and line to look at.

    Args:
        error: what was raised.
        home: the file of the code that is asked about, if it is known. The innermost line in no
            installed package is named, else the innermost there, else the innermost of all.
    """
    frames = traceback.extract_tb(error.__traceback__)
    chosen = _frames_of_users(error, home) or list(frames)
    what = reason(error)
    return f"{what} ({chosen[-1].filename}:{chosen[-1].lineno})" if chosen else what


def _frames_of_users(error: BaseException, home: str | None) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not _installed(frame.filename)]
    return theirs or [frame for frame in frames if frame.filename == home]


def _expected_call(own: object, hook: str) -> str:
    """How a class of this package declares a method, and where the user's own method is."""
    ours = [each for each in type(own).__mro__ if each.__module__.startswith("afl_sim.")]
    declared = next((vars(each)[hook] for each in ours if hook in vars(each)), None)
    place = place_of(getattr(type(own), hook, None))
    if not inspect.isfunction(declared):
        return place
    names = ", ".join(inspect.signature(declared).parameters)
    return f"; expected {hook}({names}){place}"


def place_of(function: Any) -> str:
    """`` (file:line)`` of a function's definition, or nothing if it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"


def _installed(file: str) -> bool:
    return file.startswith(_NOT_THEIRS) or any(part in file for part in _INSTALLED)
