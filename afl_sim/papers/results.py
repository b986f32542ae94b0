"""The results of a reproduction: the values of each replication, and how they were made."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from afl_sim.errors import AflSimError, InputError
from afl_sim.papers.target import Scale, Target
from afl_sim.recording.files import write_text
from afl_sim.scenario.wording import hint
from afl_sim.user_code import reason

T = TypeVar("T")
Values = list[float | None]
"""One value for each replication; None for what was not reached."""


@dataclass(frozen=True)
class Results:
    """What a reproduction measured at one scale.

    Attributes:
        target, scale: of what.
        made: date, command, minutes, code, machine, torch and numerics.
        studies: for each study that was run its cut, its minutes and its runs with their digests;
            one that an earlier reproduction ran has that one's ``made``, too.
        not_run: the studies of this scale that were not run, with what they cost.
        tables: quantity -> row -> its values.
        claims: quantity -> whether each replication supports it.
    """

    target: str
    scale: Scale
    made: dict[str, Any]
    studies: dict[str, dict[str, Any]]
    not_run: dict[str, str]
    tables: dict[str, dict[str, Values]]
    claims: dict[str, list[bool]]

    def completed_by(self, earlier: Results) -> Results:
        """These, and for the studies that were not run what an earlier reproduction gave.

        Rows and claims that have no values here are the earlier ones.
        """
        missing = {name: ran for name, ran in earlier.studies.items() if name in self.not_run}
        if not missing:
            return self
        taken = {name: {"made": earlier.made, **ran} for name, ran in missing.items()}
        return replace(
            self,
            studies=self.studies | taken,
            not_run={name: cost for name, cost in self.not_run.items() if name not in taken},
            tables={
                quantity: earlier.tables.get(quantity, {}) | self.tables.get(quantity, {})
                for quantity in earlier.tables | self.tables
            },
            claims=earlier.claims | {name: found for name, found in self.claims.items() if found},
        )

    def write(self, path: Path) -> None:
        """Write them as JSON, a row's values on one line."""
        write_text(path, _text(asdict(self)) + "\n")


def read_results(path: Path) -> Results | None:
    """The results in a file; None where there is none.

    Raises:
        InputError: it does not hold results.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        TypeAdapter(Results).validate_python(found)  # a number stays as it is written
        results = Results(**found)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}." for part in first["loc"])[:-1] or "the whole"
        raise InputError(f"{path} is damaged: {where}: {first['msg']}") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    for key in ("date", "code"):
        if not isinstance(results.made.get(key), str):
            raise InputError(f"{path} is damaged: made.{key}: expected text")
    return results


def checked(
    target: Target, scale: Scale, measured: Any
) -> tuple[dict[str, dict[str, Values]], dict[str, list[bool]]]:
    """What a target's ``measure`` gave, as tables and claims of this scale.

    Raises:
        AflSimError: it is not what the target asks for; the message names quantity and row.
    """
    if not isinstance(measured, Mapping):
        raise AflSimError(
            f"{target.analysis}.measure returned {_kind(measured)}; expected a dict by quantity"
        )
    known = (*target.tables, *target.claims)
    tables: dict[str, dict[str, Values]] = {}
    claims: dict[str, list[bool]] = {}
    for quantity, found in measured.items():
        if quantity in target.tables:
            tables[quantity] = _table(target, quantity, found)
        elif quantity in target.claims:
            claims[quantity] = _each(target, quantity, found, bool)
        else:
            raise AflSimError(
                f"{target.analysis}: measured {quantity!r}, which is not a quantity of "
                f"{target.name}; expected {', '.join(known)}{hint(quantity, known)}"
            )
    if scale == "small":
        tables = {name: rows for name, rows in tables.items() if target.tables[name].at_small}
        claims = {name: truth for name, truth in claims.items() if target.claims[name].at_small}
    return tables, claims


def _table(target: Target, quantity: str, found: Any) -> dict[str, Values]:
    rows = target.tables[quantity].rows
    if not isinstance(found, Mapping):
        raise AflSimError(
            f"{target.analysis}: {quantity} is {_kind(found)}; expected a dict by row"
        )
    for row in found:
        if row not in rows:
            raise AflSimError(
                f"{target.analysis}: {quantity} has a row {row!r}, which is not a row of "
                f"{target.name}; expected one of {', '.join(rows)}{hint(row, rows)}"
            )
    table = {
        row: _each(target, f"{quantity}, {row}", found[row], _number)
        for row in rows
        if row in found
    }
    for row, values in table.items():
        if any(value is not None and not math.isfinite(value) for value in values):
            raise AflSimError(f"{target.analysis}: {quantity}, {row}: a value is not finite")
    return {row: values for row, values in table.items() if values}


def _each(target: Target, what: str, found: Any, read: Callable[[Any], T]) -> list[T]:
    """One value for each replication."""
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Iterable):
        raise AflSimError(
            f"{target.analysis}: {what}: {_kind(found)}; expected a list with a value for each "
            "replication"
        )
    try:
        return [read(value) for value in found]
    except (TypeError, ValueError) as error:
        raise AflSimError(f"{target.analysis}: {what}: {reason(error)}") from error


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _text(value: Any, indent: str = "") -> str:
    if isinstance(value, dict) and any(isinstance(item, dict | list) for item in value.values()):
        inner = indent + "  "
        entries = (
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_text(item, inner)}"
            for key, item in value.items()
        )
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        inner = indent + "  "
        return "[\n" + ",\n".join(inner + _text(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
