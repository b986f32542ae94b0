"""A column of a table as a scenario may write it: checked, read, and in its canonical form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from afl_sim.scenario.traces.columns import By, Column, read_trace
from afl_sim.scenario.traces.tables import NumberClients, TableProblems, refuse_changed
from afl_sim.scenario.units import Quantity
from afl_sim.scenario.wording import exact, hint, show

Path_ = tuple[str | int, ...]
KEYS = ("trace", "column", "by", "factor", "number_clients", "sha256", "shuffle")


class Reader(Protocol):
    """Collects the mistakes in a form."""

    base: Path
    signed: bool
    quantity: Quantity | None
    mistakes: list[tuple[Path_, str]]

    def wrong(self, path: Path_, message: str) -> None:
        """Note a mistake."""

    def number(self, raw: Any, path: Path_, expected: str = "a number") -> float | None:
        """A finite number, or None with the mistake noted."""

    def known_keys(self, raw: dict[str, Any], known: tuple[str, ...], path: Path_) -> None:
        """Note every other key."""


def trace_column(
    reader: Reader, raw: dict[str, Any], path: Path_, by: By
) -> tuple[tuple[float, ...], dict[str, Any]] | None:
    """The numbers of a trace and its canonical form; None if anything is wrong, which is noted."""
    reader.known_keys(raw, KEYS, path)
    before = len(reader.mistakes)
    for key in ("trace", "column", "sha256"):
        if not isinstance(raw.get(key), str | None) or raw.get(key) == "":
            reader.wrong((*path, key), f"got {show(raw[key])}; expected text")
    if raw["trace"] is None:
        reader.wrong((*path, "trace"), "got nothing; expected the name of a file")
    factor = _factor(reader, raw, path)
    number_clients = _number_clients(reader, raw, path, by)
    if len(reader.mistakes) > before:
        return None
    file = (reader.base / raw["trace"]).absolute()
    column = Column(raw.get("column"), by, factor, number_clients, reader.signed, reader.quantity)
    try:
        values, digest, factor = read_trace(file, column)
        refuse_changed(file, raw.get("sha256"), digest)
    except TableProblems as problems:
        for message in problems.messages:
            reader.wrong((*path, *problems.key), message)
        return None
    form = {
        "trace": str(file),
        "column": column.name,
        "by": by,
        "factor": None if factor == 1 else factor,
        "number_clients": number_clients,
        "sha256": digest,
    }
    return values, {key: value for key, value in form.items() if value is not None}


def _factor(reader: Reader, raw: dict[str, Any], path: Path_) -> float | None:
    if "factor" not in raw:
        # A block with the file's sha256 has been resolved: what it does not say is 1.
        return None if "sha256" not in raw else 1.0
    factor = reader.number(raw["factor"], (*path, "factor"), "a number above 0")
    if factor is not None and factor <= 0:
        reader.wrong((*path, "factor"), f"got {exact(factor)}; expected a number above 0")
        return None
    return factor


def _number_clients(reader: Reader, raw: dict[str, Any], path: Path_, by: By) -> NumberClients:
    wanted, where = raw.get("number_clients"), (*path, "number_clients")
    if wanted is None:
        return None
    if wanted != "in_order":
        near = hint(wanted, ["in_order"]) if isinstance(wanted, str) else ""
        reader.wrong(where, f"got {show(wanted)}; expected in_order{near}")
    elif by == "sample":
        reader.wrong(where, "needs by: client; a sample belongs to no client")
    return "in_order"
