"""Values that validation would silently convert to another type: ``true`` to 1, ``"3"`` to 3."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.mistakes.partial import Partial, fields_of
from afl_sim.scenario.wording import show


def quiet_conversions(written: Any, read: Any, path: KeyPath = ()) -> Iterator[Finding]:
    """What was written as one type and read as another, or read as a number that is not finite.

    Classes from the catalogue are not all strict, so the two trees are compared here.

    Args:
        written: the scenario as plain data.
        read: the validated value.
        path: where both stand.
    """
    if isinstance(read, BaseModel | Partial):
        if isinstance(written, dict):
            for key, value in fields_of(read):
                if key in written:
                    yield from quiet_conversions(written[key], value, (*path, key))
    elif isinstance(written, list) and isinstance(read, list | tuple):
        if len(written) == len(read):
            for i, (item, result) in enumerate(zip(written, read, strict=True)):
                yield from quiet_conversions(item, result, (*path, i))
    elif isinstance(written, dict) and isinstance(read, dict):
        for key in written.keys() & read.keys():
            yield from quiet_conversions(written[key], read[key], (*path, key))
    elif isinstance(read, bool):
        if isinstance(written, int | float) and not isinstance(written, bool):
            yield Finding(path, f"got {show(written)}; expected true or false")
    elif isinstance(read, int | float):
        if isinstance(written, bool) or (isinstance(written, str) and _is_number(written)):
            yield Finding(path, f"got {show(written)}; expected a number")
        elif not math.isfinite(read):
            yield Finding(path, f"got {show(written)}; expected a finite number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
