"""How a scenario's own figures are drawn. It changes no result."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.section import LaterSection, Number
from afl_sim.scenario.units import DURATION, ENERGY, SIZE, Quantity, Unreadable
from afl_sim.scenario.wording import hint, show

INCHES: Final = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0, "pt": 1 / 72.27}
"""The units of lengths in inches; a point is that of LaTeX."""

SMALLEST: Final = 0.75
LARGEST: Final = 40.0
"""Limits of a figure's width and height, in inches: about 2 cm and 1 m."""

_LENGTH: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)
_FORM: Final = "a length with its unit: mm, cm, in or pt, such as 84mm"

Along = Literal["time", "versions", "updates", "samples", "bytes", "energy", "price", "carbon"]
"""What a learning curve can be drawn against."""

WITH_UNITS: Final[Mapping[str, tuple[Quantity, float]]] = {
    "time": (DURATION, 1.0),
    "bytes": (SIZE, 1e6),
    "energy": (ENERGY, 1e3),
}
"""The axes whose limits may be text with a unit: what it measures, and the unit of the axis."""

STEERING: Final = ("x", "xlim", "ylim", "log")
"""The keys that only some figures have a use for."""


def inches(length: str) -> float:
    """A length such as ``84mm`` in inches.

    Raises:
        ValueError: it is no length, or its unit is unknown.
    """
    found = _LENGTH.fullmatch(length)
    if found is None:
        raise ValueError(f"got {show(length)}; expected {_FORM}")
    number, unit = found.groups()
    if unit.lower() not in INCHES:
        what = "without a unit" if not unit else f"with the unknown unit {show(unit)}"
        raise ValueError(f"got {show(length)} {what}; expected {_FORM}{hint(unit, INCHES)}")
    return float(number) * INCHES[unit.lower()]


def _length(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(f"got {show(value)}; expected {_FORM}")
    try:
        long = inches(value)
    except ValueError as error:
        raise _wrong(str(error)) from None
    if not SMALLEST <= long <= LARGEST:
        raise _wrong(f"got {show(value)}; expected from 20 mm to 1 m")
    return value


def _limits(value: Any) -> Any:
    if value is None:
        return None
    expected = "two numbers, LOW and HIGH, one of which may be left open"
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _wrong(f"got {show(value)}; expected {expected}")
    for end in value:
        if end is not None and not isinstance(end, str) and not _is_finite(end):
            raise _wrong(f"got {show(end)} for one of them; expected {expected}")
    try:
        low, high = map(_end, value)
    except ValueError as error:
        raise _wrong(str(error)) from None
    if low is None and high is None:
        raise _wrong(f"got two open ends; expected {expected}")
    if low is not None and high is not None and low >= high:
        first, second = (end if isinstance(end, str) else f"{end:g}" for end in value)
        raise _wrong(f"got {first} and {second}; expected the lower one first")
    return tuple(value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def measured(text: str) -> tuple[str, float]:
    """The axis on which a text such as ``2 h`` is a limit, and the limit in its unit.

    Raises:
        ValueError: it is not a number with a unit of one of these axes.
    """
    for axis, (quantity, unit) in WITH_UNITS.items():
        try:
            return axis, quantity.read(text) / unit
        except Unreadable:
            continue
    said = text.lstrip(" +-.0123456789").strip()
    near = next(filter(None, (kind.meant(said) for kind, _ in WITH_UNITS.values())), "")
    raise ValueError(
        f"got {show(text)}; expected a number in the unit of the axis, or text with a unit of "
        f"time, bytes or energy, such as 2 h, 5 MB or 3 kJ{near if said else ''}"
    )


def _end(value: float | str | None) -> float | None:
    return measured(value)[1] if isinstance(value, str) else value


def _several(value: Any) -> Any:
    """One entry as a list of one; numbers are names, too."""
    values = value if isinstance(value, list | tuple) else [value]
    numbers = (int, float)
    return [
        str(each) if isinstance(each, numbers) and not isinstance(each, bool) else each
        for each in values
    ]


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("figure", "{message}", {"message": message})


_A_LENGTH: Final = {"anyOf": [{"type": "string", "pattern": r"^ *[0-9.]+ *(mm|cm|in|pt) *$"}]}
_END: Final = {
    "anyOf": [
        {"type": "number"},
        *({"type": "string", "pattern": kind.pattern} for kind, _ in WITH_UNITS.values()),
        {"type": "null"},
    ]
}
_TWO: Final = {
    "anyOf": [{"type": "array", "items": _END, "minItems": 2, "maxItems": 2}, {"type": "null"}]
}
_NAMES: Final = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]
}

Length = Annotated[
    str | None,
    BeforeValidator(_length),
    WithJsonSchema({"anyOf": [*_A_LENGTH["anyOf"], {"type": "null"}]}),
]
Limits = Annotated[
    tuple[Number | str | None, Number | str | None] | None,
    BeforeValidator(_limits),
    WithJsonSchema(_TWO),
]
Names = Annotated[tuple[str, ...], BeforeValidator(_several), WithJsonSchema(_NAMES)]


def _words(*words: str) -> WithJsonSchema:
    each: dict[str, Any] = {"enum": list(words)}
    return WithJsonSchema({"anyOf": [each, {"type": "array", "items": each}]})


class FigureBlock(LaterSection):
    """How one figure is drawn, or all of them. The keys are the options of `afl-sim plot`.

    A block does not belong to the identity of a run. It can be changed at any time; `afl-sim run`
    of a finished scenario only takes over the new block.
    """

    name: str | None = Field(
        default=None,
        description="The figure, as for the option `--figure`: one of `afl-sim list figures`, or "
        "package.module:function. Without a name the block is for all figures that no other block "
        "names.",
    )
    file: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        max_length=100,
        description="The name of the file, without its ending; by default that of the figure.",
    )
    x: Along | None = Field(
        default=None,
        description="What curves are drawn against: virtual time in seconds, versions, updates "
        "aggregated, samples trained, bytes transferred (MB); or what the run has used, if that is "
        "counted: energy (kJ), price, or carbon dioxide (g).",
    )
    xlim: Limits = Field(
        default=None,
        description="Limits of the horizontal axis, in its unit: [LOW, HIGH]. Of time, bytes or "
        "energy they may be text with a unit: [0, 2 h].",
    )
    ylim: Limits = Field(
        default=None, description="Limits of the vertical axis, in its unit: [LOW, HIGH]."
    )
    log: Annotated[tuple[Literal["x", "y"], ...], BeforeValidator(_several), _words("x", "y")] = (
        Field(default=(), description="Axes with a logarithmic scale: x, y, or [x, y].")
    )
    settings: Names = Field(
        default=(),
        description="The settings or runs that are drawn, by their names in figures and tables; "
        "`*` stands for any characters. By default all.",
    )
    order: Names = Field(
        default=(),
        description="The order of the legend, by the same names; those that are not named follow.",
    )
    title: str | None = Field(
        default=None, description="A title above the figure; none: no title at all."
    )
    width: Length = Field(
        default=None, description="Width of the figure: a length in mm, cm, in or pt (of LaTeX)."
    )
    height: Length = Field(
        default=None, description="Height of the whole figure; by default what it needs."
    )
    style: Literal["paper", "column", "slides", "dark"] | None = Field(
        default=None,
        description="Size and colours: paper, column (one of two columns), slides or dark. By "
        "default column if the width is less than 127 mm, else paper.",
    )
    format: Annotated[
        tuple[Literal["png", "pdf", "svg"], ...],
        BeforeValidator(_several),
        _words("png", "pdf", "svg"),
    ] = Field(default=(), description="Formats of the files: png, pdf, svg. By default png.")

    _later: ClassVar[tuple[str, ...]] = (
        *("name", "file", "x", "xlim", "ylim", "log", "settings", "order", "title"),
        *("width", "height", "style", "format"),
    )

    @model_validator(mode="after")
    def _fitting(self) -> FigureBlock:
        for axis in ("x", "y"):
            for end in self.limits(axis) or ():
                if axis in self.log and end is not None and end <= 0:
                    raise _wrong(
                        f"{axis}lim: got {end:g}; expected numbers above 0 on a logarithmic axis"
                    )
        return self

    def limits(self, axis: str) -> tuple[float | None, float | None] | None:
        """The limits of ``x`` or ``y`` in the unit of this axis; None if none are given."""
        written = self.xlim if axis == "x" else self.ylim
        return None if written is None else (_end(written[0]), _end(written[1]))

    @property
    def steering(self) -> tuple[str, ...]:
        """The keys of `STEERING` that are given."""
        return tuple(key for key in STEERING if getattr(self, key) not in (None, ()))


def figure_blocks(value: Any) -> Any:
    """The blocks under ``figure``: a list, a single block, or the name of a figure alone."""
    if value is None:
        return ()
    blocks = value if isinstance(value, list | tuple) else [value]
    return [{"name": block} if isinstance(block, str) else block for block in blocks]


AXES: Final[tuple[str, ...]] = get_args(Along)
