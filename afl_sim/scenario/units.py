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

from afl_sim.scenario.wording import hint, show

_LONGEST: Final = 60  # characters of such a text
_EXACT: Final = Context(prec=100)
_NUMBER: Final = r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]{1,3})?"
_TEXT: Final = re.compile(rf"({_NUMBER})\s*(\S.*)?\Z")
MEASURED: Final = re.compile(rf"\s*{_NUMBER}\s*(?:[^\W\d][^\s.]*|%)?\s*\Z")
"""Text that is meant as a number with a unit, be it a known one or not."""
_TWO_NUMBERS: Final = re.compile(r"[0-9].*[^0-9.,eE+_-].*[0-9]")

_SECONDS: Final = {
    "ns": "1e-9",
    "us": "1e-6",
    "ms": "1e-3",
    "s": "1",
    "min": "60",
    "h": "3600",
    "d": "86400",
}
_SPELT_OUT: Final = {
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
_PREFIXES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

_DURATIONS: Final[dict[str, Decimal]] = {
    **{unit: Decimal(size) for unit, size in _SECONDS.items()},
    "µs": Decimal("1e-6"),  # the micro sign
    "μs": Decimal("1e-6"),  # the Greek letter
    **{f"{word}{s}": Decimal(_SECONDS[u]) for u, word in _SPELT_OUT.items() for s in ("", "s")},
}
_RATES: Final[dict[str, Decimal]] = {
    **{f"{prefix}B/s": Decimal(size) for prefix, size in (_PREFIXES | _BINARY).items()},
    **{f"{prefix}bit/s": Decimal(size) / 8 for prefix, size in (_PREFIXES | _BINARY).items()},
    **{f"{prefix}bps": Decimal(size) / 8 for prefix, size in _PREFIXES.items()},
}
_SIZES: Final[dict[str, Decimal]] = {
    f"{prefix}B": Decimal(size) for prefix, size in (_PREFIXES | _BINARY).items()
}
_OPERATIONS: Final[dict[str, Decimal]] = {
    f"{prefix}{name}": Decimal(size)
    for prefix, size in (_PREFIXES | {"P": 10**15}).items()
    for name in ("FLOP/s", "FLOPS")
}
_SMALLER: Final = {
    "": "1",
    "k": "1e3",
    "M": "1e6",
    "m": "1e-3",
    "u": "1e-6",
    "n": "1e-9",
    "p": "1e-12",
}
_POWERS: Final[dict[str, Decimal]] = {
    **{f"{prefix}W": Decimal(_SMALLER[prefix]) for prefix in ("", "k", "M", "m", "u")},
    **dict.fromkeys(("watt", "watts"), Decimal(1)),
}
_ENERGIES: Final[dict[str, Decimal]] = {
    **{f"{prefix}J": Decimal(size) for prefix, size in _SMALLER.items()},
    **{f"{prefix}Wh": 3600 * Decimal(_SMALLER[prefix]) for prefix in ("", "k", "m")},
    **dict.fromkeys(("joule", "joules"), Decimal(1)),
}
_MEANT: Final = {
    **dict.fromkeys(("m", "M", "mn", "mins", "Min", "MIN", "Minutes", "Minute"), "min"),
    **dict.fromkeys(("sec", "secs", "S", "Sec", "Second", "Seconds"), "s"),
    **dict.fromkeys(("hr", "hrs", "H", "Hour", "Hours"), "h"),
    **dict.fromkeys(("D", "Day", "Days"), "d"),
    **dict.fromkeys(("msec", "Ms", "MS", "mS", "millis"), "ms"),
    **dict.fromkeys(("usec", "Us", "US", "uS", "micros"), "us"),
}
"""What is likely meant by units of time that are not in the list."""
_BITS: Final = re.compile(r"[kMGT]i?bits?\Z")
_BYTES_OR_BITS: Final = re.compile(
    r"([kmgt]?)(i?)(b|bits?|bytes?)(?:/s|/sec|/second|ps)?\Z", re.IGNORECASE
)


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
        if match is None or odd or _TWO_NUMBERS.search(text):
            raise Unreadable(f"got {show(text)}; expected {self.expected}{_form(text)}")
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
        if self.units is _RATES:
            return _meant_rate(unit)
        if self.units is _SIZES:
            return _meant_size(unit)
        if self.units is _OPERATIONS:
            return _meant_operations(unit)
        if self.units is not _DURATIONS:
            return hint(unit, self.units)
        near = _MEANT.get(unit)
        return f"; did you mean '{near}'?" if near else hint(unit, self.units)

    @cached_property
    def _in_names(self) -> Mapping[str, Decimal]:
        """The units that the name of a column can say, where nothing else is likely meant."""
        doubtful = ("min", "d", *(word for word in _SPELT_OUT.values()))
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

    def misnamed(self, name: str) -> str | None:
        """What is wrong with a column whose name says a unit of another kind; None if it does not.

        Units of a single letter are no units here: a link may be called B.
        """
        if self.of_column(name) is not None:
            return None
        for unit in _endings(name):
            others = (each for each in QUANTITIES if each.units is not self.units)
            known = _BITS.match(unit) or any(each.in_name(unit) is not None for each in others)
            if known and len(unit) > 1:
                return (
                    f"{name!r} says {unit}, which is no unit of {self.base}; expected one of them, "
                    "or a factor"
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
        again = rf"(?:\s*/\s*{per})?" if per and self.units is not _RATES else ""
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


def _form(text: str) -> str:
    """Why a text is no number with a unit, where that can be said."""
    if re.search(r"[0-9],[0-9]", text):
        return " (the decimal sign is a point)"
    if re.match(r"\s*[0-9]+:[0-9]+", text):
        return " (a time of day or a duration with colons is not read)"
    if _TWO_NUMBERS.search(text):
        return " (one number with one unit: 200 s, not 3 min 20 s)"
    return ""


def _meant_size(unit: str) -> str:
    match = _BYTES_OR_BITS.match(unit.replace(" ", ""))
    if match is None or "/" in unit or unit.endswith("ps"):
        return hint(unit, _SIZES, 0.75)
    prefix = match[1].upper() if match[1] not in ("k", "K") or match[2] else "k"
    octets = f"'{prefix}{'i' if match[2] else ''}B'"
    if match[3].lower().startswith("bit"):
        return f"; did you mean {octets}, of which each has 8 bits?"
    if match[1] == "K" and not match[2]:
        return f"; did you mean {octets} (1000 bytes) or 'KiB' (1024 bytes)?"
    return f"; did you mean {octets}?"


def _meant_operations(unit: str) -> str:
    match = re.match(r"([kmgtp]?)flops?(?:/s|/sec|/second)?\Z", unit, re.IGNORECASE)
    if match is None:
        return hint(unit, _OPERATIONS, 0.75)
    prefix = "k" if match[1].lower() == "k" else match[1].upper()
    return f"; did you mean '{prefix}FLOP/s'?"


def _meant_rate(unit: str) -> str:
    if f"{unit}/s" in _RATES:
        return f"; did you mean '{unit}/s'?"
    match = _BYTES_OR_BITS.match(unit.replace(" ", ""))
    if match is None:
        return hint(unit, _RATES, 0.75)
    binary = "i" if match[2] else ""
    prefix = match[1].upper() if match[1] not in ("k", "K") or binary else "k"
    octets, bits = f"'{prefix}{binary}B/s'", f"'{prefix}{binary}bit/s'"
    if match[3].lower().startswith("bit"):
        return f"; did you mean {bits}?"
    if match[3] == "b":
        return f"; did you mean {octets} (bytes) or {bits} (bits)?"
    if match[1] == "K" and not binary:
        return f"; did you mean {octets} (1000 bytes) or 'KiB/s' (1024 bytes)?"
    return f"; did you mean {octets}?"


_LISTED_DURATIONS: Final = tuple(_SECONDS)
_LISTED_RATES: Final = (
    *(f"{prefix}B/s" for prefix in "kMG"),
    *(f"{prefix}bit/s" for prefix in "kMG"),
    *(f"{prefix}B/s" for prefix in ("Ki", "Mi", "Gi")),
)

DURATION: Final = Quantity("Duration", "seconds", _DURATIONS, "10 ms", _LISTED_DURATIONS)
"""Seconds of virtual or wall time."""

PER_SAMPLE, PER_STEP, PER_TASK = (
    Quantity("Duration", f"seconds per {what}", _DURATIONS, "10 ms", _LISTED_DURATIONS)
    for what in ("sample", "step", "task")
)
"""Seconds for each sample, local step or task."""

RATE: Final = Quantity("Rate", "bytes per second", _RATES, "20 kB/s", _LISTED_RATES)
"""Bytes per second. Prefixes of a thousand are k, M, G, T; of 1024 Ki, Mi, Gi, Ti."""

SIZE: Final = Quantity(
    "Size", "bytes", _SIZES, "4 GB", ("B", *(f"{p}B" for p in ("k", "M", "G", "Ki", "Mi", "Gi")))
)
"""Bytes of memory. Prefixes of a thousand are k, M, G, T; of 1024 Ki, Mi, Gi, Ti."""

OPERATIONS: Final = Quantity(
    "Operations",
    "floating-point operations per second",
    _OPERATIONS,
    "20 GFLOP/s",
    tuple(f"{prefix}FLOP/s" for prefix in "MGT"),
)
"""Floating-point operations per second; a multiplication and an addition are two."""

POWER: Final = Quantity("Power", "watts", _POWERS, "1.5 W", ("W", "mW", "uW", "kW"))
"""Watts."""

_LISTED_ENERGIES: Final = ("J", "mJ", "uJ", "nJ", "kJ", "Wh")

ENERGY: Final = Quantity("Energy", "joules", _ENERGIES, "15 Wh", _LISTED_ENERGIES)
"""Joules."""

PER_BYTE, PER_SAMPLE_TRAINED = (
    Quantity("Energy", f"joules per {what}", _ENERGIES, "20 mJ", _LISTED_ENERGIES)
    for what in ("byte", "sample")
)
"""Joules for each byte or sample."""

QUANTITIES: Final = (DURATION, RATE, SIZE, OPERATIONS, POWER, ENERGY)
"""One quantity of each kind of units."""
