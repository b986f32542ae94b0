"""The numbers inside a distribution, as a scenario writes them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from afl_sim.scenario.units import Quantity, Unreadable
from afl_sim.scenario.wording import hint, show

Path_ = tuple[str | int, ...]


class NumberReader:
    """Reads numbers; ``mistakes`` collects (path inside the distribution, message).

    Args:
        base: folder to which a trace's path is relative.
        signed: whether numbers below 0 can be drawn.
        quantity: what the numbers measure, if they may be written with a unit.
    """

    def __init__(
        self, base: Path | None, *, signed: bool = False, quantity: Quantity | None = None
    ) -> None:
        self.base = base or Path()
        self.signed = signed
        self.quantity = quantity
        self.mistakes: list[tuple[Path_, str]] = []

    def wrong(self, path: Path_, message: str) -> None:
        self.mistakes.append((path, message))

    def fits(self, value: float, path: Path_) -> bool:
        """Whether a number can be drawn; else the mistake is noted."""
        if value < 0 and not self.signed:
            self.wrong(path, f"got {value:g}; expected 0 or more")
            return False
        return True

    def measured(self, raw: Any, path: Path_, expected: str = "a number") -> float | None:
        """A number, or text with a unit where there is one."""
        if self.quantity is None:
            return self.number(raw, path, expected)
        if not isinstance(raw, str) or is_name(raw):
            rest = expected.removeprefix("a number")
            return self.number(raw, path, f"{self.quantity.expected}{rest}")
        try:
            return self.number(self.quantity.read(raw), path)
        except Unreadable as error:
            self.wrong(path, str(error))
            return None

    def number(self, raw: Any, path: Path_, expected: str = "a number") -> float | None:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            self.wrong(path, f"got {show(raw)}; expected {expected}")
            return None
        try:
            value = float(raw)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            self.wrong(path, f"got {show(raw)}; expected a finite number")
            return None
        return value

    def numbers(self, raw: Any, path: Path_) -> list[float] | None:
        if not isinstance(raw, list | tuple) or not raw:
            self.wrong(path, f"got {show(raw)}; expected a list of at least one number")
            return None
        found = [self.measured(item, (*path, i)) for i, item in enumerate(raw)]
        values = [value for value in found if value is not None]
        return values if len(values) == len(found) else None

    def known_keys(self, raw: dict[str, Any], known: tuple[str, ...], path: Path_) -> None:
        for key in raw:
            if key not in known:
                expected = f"expected one of {', '.join(known)}"
                self.wrong((*path, str(key)), f"unknown key; {expected}{hint(str(key), known)}")

    def shuffle(self, raw: dict[str, Any], path: Path_) -> bool:
        """Whether a list of clients wants to be shuffled."""
        wanted = raw.get("shuffle", False)
        if not isinstance(wanted, bool):
            self.wrong((*path, "shuffle"), f"got {show(wanted)}; expected true or false")
        elif wanted and path:
            self.wrong(
                (*path, "shuffle"), "only a whole distribution is shuffled, not a part of one"
            )
        return wanted is True

    def one_length(self, lengths: list[int | None], path: Path_) -> int | None:
        found = sorted({length for length in lengths if length is not None})
        if len(found) > 1:
            self.wrong(
                path, f"lists for {found[0]} and for {found[1]} clients; expected the same length"
            )
        return found[0] if found else None


def is_name(value: Any) -> bool:
    """Whether a value can name a family: text that does not begin like a number."""
    return isinstance(value, str) and re.match(r"\s*[-+.]?[0-9]", value) is None
