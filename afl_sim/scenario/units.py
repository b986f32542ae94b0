"""Measured numbers as text with a unit: ``10 ms``, ``8 h``, ``20 kB/s``, ``4 GB``, ``20 GFLOP/s``.

The units are a short list of our own, so that nothing is guessed: upper and lower case count, and
text that is not exactly one number and one unit is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cached_property
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from afl_sim.scenario.unit_mistakes import (
    TWO_NUMBERS,
    form,
    is_meant,
    meant_duration,
    meant_operations,
    meant_rate,
    meant_size,
)
from afl_sim.scenario.unit_tables import (
    DURATIONS,
    ENERGIES,
    OPERATION_RATES,
    POWERS,
    RATES,
    SECONDS,
    SIZES,
    SPELT_OUT,
)
from afl_sim.scenario.wording import hint, show

_LONGEST: Final = 60  # characters of such a text
_EXACT: Final = Context(prec=100)
_NUMBER: Final = r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]{1,3})?"
_TEXT: Final = re.compile(rf"({_NUMBER})\s*(\S.*)?\Z")
MEASURED: Final = re.compile(rf"\s*{_NUMBER}\s*(?:[^\W\d][^\s.]*|%)?\s*\Z")
"""Text that is meant as a number with a unit, be it a known one or not."""

_MEANT: Final = (
    (DURATIONS, meant_duration),
    (RATES, meant_rate),
    (SIZES, meant_size),
    (OPERATION_RATES, meant_operations),
)
"""By table of units, what tells which of them is meant."""


class Unreadable(ValueError):
    """Text that is not one number with a unit of the wanted kind; the message says why."""


@dataclass(frozen=True, eq=False)
class Quantity:
    """A kind of numbers that a scenario may write with a unit.

    As an annotation of a number it lets a key take both, a number in the base unit and text:

        Seconds = Annotated[Number, Field(gt=0), DURATION]

    Attributes:
        name: names its distributions in the schema.
        base: the unit of plain numbers, in words.
        units: for each unit how many base units it is; exact decimals.
        example: a text of this kind, for messages.
        listed: the units that messages list.
    """

    name: str
    base: str
    units: Mapping[str, Decimal]
    example: str
    listed: tuple[str, ...]

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        return f"a number of {self.base}, or text with a unit, such as {self.example}"

    def read(self, text: str) -> float:
        """The number of base units that a text means.

        The result is the floating-point number nearest to the exact product, so that ``10 ms`` and
        0.01 are the same to the last bit.

        Raises:
            Unreadable: the text is not one number and one unit of this kind.
        """
        match = _TEXT.match(text.strip()) if len(text) <= _LONGEST else None
        odd = match is not None and match[2] is not None and not match[2][0].isalpha()
        if match is None or odd or TWO_NUMBERS.search(text):
            raise Unreadable(f"got {show(text)}; expected {self.expected}{form(text)}")
        number, unit = match[1], match[2]
        if unit is None:
            why = " (a number in quotes is text)"
            raise Unreadable(f"got {show(text)}, which has no unit; expected {self.expected}{why}")
        size = self._size(unit)
        if size is None:
            known = ", ".join(self.listed)
            raise Unreadable(
                f"got {show(text)}, but {show(unit)} is no unit here; expected {self.base}, or "
                f"text with one of the units {known}{self.meant(unit)}"
            )
        return float(_EXACT.multiply(Decimal(number.replace("_", "")), size))

    def _size(self, unit: str) -> Decimal | None:
        """How many base units a unit is; None if it is not one of this kind."""
        written, slash, per = unit.partition("/")
        # `3 ms/sample` says again what the key says.
        if slash and self.base.endswith(f" per {per.strip()}"):
            unit = written.strip()
        return self.units.get(unit)

    def meant(self, unit: str) -> str:
        """What a unit that is not of this kind is likely meant to be, for a message; or nothing."""
        for units, meant in _MEANT:
            if self.units is units:
                return meant(unit)
        return hint(unit, self.units)

    @cached_property
    def _in_names(self) -> Mapping[str, Decimal]:
        """The units that the name of a column can say, where nothing else is likely meant."""
        doubtful = ("min", "d", *(word for word in SPELT_OUT.values()))
        return {
            unit.replace("/", "_per_"): size
            for unit, size in self.units.items()
            if unit not in doubtful
        }

    def of_column(self, name: str) -> float | None:
        """The factor that a column's name says, as in ``latency_ms`` and ``kB_per_s``.

        None if the name says no unit of this kind.
        """
        found = map(self.in_name, _endings(name))
        return next((factor for factor in found if factor is not None), None)

    def misnamed(self, name: str, instead: str = "a factor") -> str | None:
        """What is wrong with a column whose name says a unit that is none of this kind.

        Args:
            name: of the column.
            instead: what else can say the unit.

        Returns:
            None if the name says no unit, or one of this kind. Units of a single letter are no
            units here: a link may be called B.
        """
        if self.of_column(name) is not None:
            return None
        for unit in _endings(name):
            others = (each for each in QUANTITIES if each.units is not self.units)
            known = is_meant(unit) or any(each.in_name(unit) is not None for each in others)
            if known and len(unit) > 1:
                return (
                    f"{name!r} says {unit}, which is no unit of {self.base}; expected one of them, "
                    f"or {instead}{self.meant(unit.replace('_per_', '/'))}"
                )
        return None

    def in_name(self, unit: str) -> float | None:
        """The size of a unit as the name of a column says it; None if it says none."""
        unit = re.sub(r"(?:_per_|/)(?:second|sec|s)$", "_per_s", unit)
        unit = {"bytes_per_s": "B_per_s", "bits_per_s": "bit_per_s"}.get(unit, unit)
        size = self._in_names.get(unit)
        return None if size is None else float(size)

    @property
    def pattern(self) -> str:
        """A regular expression that texts of this kind match."""
        units = "|".join(re.escape(unit) for unit in self.units)
        per = self.base.partition(" per ")[2]
        again = rf"(?:\s*/\s*{per})?" if per and self.units is not RATES else ""
        return rf"^\s*{_NUMBER}\s*(?:{units}){again}\s*$"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.number, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": self.pattern}]}

    def number(self, value: Any) -> Any:
        """A number as it is, and text as the number of base units that it means.

        Raises:
            PydanticCustomError: it is neither.
        """
        if isinstance(value, str):
            try:
                return self.read(value)
            except Unreadable as error:
                raise PydanticCustomError("scenario", "{why}", {"why": str(error)}) from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            why = f"got {show(value)}; expected {self.expected}"
            raise PydanticCustomError("scenario", "{why}", {"why": why})
        return value


def _endings(name: str) -> list[str]:
    """What may be the unit at the end of the name of a column, the longest first."""
    text = re.sub(r"_per_(?:sample|step|task|batch)$", "", name)
    starts = [0, *(match.end() for match in re.finditer(r"[\s_(\[]", text))]
    return [text[start:].rstrip(")]") for start in starts]


_LISTED_DURATIONS: Final = tuple(SECONDS)
_LISTED_RATES: Final = (
    *(f"{prefix}B/s" for prefix in "kMG"),
    *(f"{prefix}bit/s" for prefix in "kMG"),
    *(f"{prefix}B/s" for prefix in ("Ki", "Mi", "Gi")),
)

DURATION: Final = Quantity("Duration", "seconds", DURATIONS, "10 ms", _LISTED_DURATIONS)
"""Seconds of virtual or wall time."""

PER_SAMPLE, PER_STEP, PER_TASK = (
    Quantity("Duration", f"seconds per {what}", DURATIONS, "10 ms", _LISTED_DURATIONS)
    for what in ("sample", "step", "task")
)
"""Seconds for each sample, local step or task."""

RATE: Final = Quantity("Rate", "bytes per second", RATES, "20 kB/s", _LISTED_RATES)
"""Bytes per second. Prefixes of a thousand are k, M, G, T; of 1024 Ki, Mi, Gi, Ti."""

SIZE: Final = Quantity(
    "Size", "bytes", SIZES, "4 GB", ("B", *(f"{p}B" for p in ("k", "M", "G", "Ki", "Mi", "Gi")))
)
"""Bytes of memory. Prefixes of a thousand are k, M, G, T; of 1024 Ki, Mi, Gi, Ti."""

OPERATIONS: Final = Quantity(
    "Operations",
    "floating-point operations per second",
    OPERATION_RATES,
    "20 GFLOP/s",
    tuple(f"{prefix}FLOP/s" for prefix in "MGT"),
)
"""Floating-point operations per second; a multiplication and an addition are two."""

POWER: Final = Quantity("Power", "watts", POWERS, "1.5 W", ("W", "mW", "uW", "kW"))
"""Watts."""

_LISTED_ENERGIES: Final = ("J", "mJ", "uJ", "nJ", "kJ", "Wh")

ENERGY: Final = Quantity("Energy", "joules", ENERGIES, "15 Wh", _LISTED_ENERGIES)
"""Joules."""

PER_BYTE, PER_SAMPLE_TRAINED = (
    Quantity("Energy", f"joules per {what}", ENERGIES, "20 mJ", _LISTED_ENERGIES)
    for what in ("byte", "sample")
)
"""Joules for each byte or sample."""

QUANTITIES: Final = (DURATION, RATE, SIZE, OPERATIONS, POWER, ENERGY)
"""One quantity of each kind of units."""
