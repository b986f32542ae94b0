"""What `afl-sim design` searches: what may vary, what is minimised, and under which limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from afl_sim.scenario.section import Count, Number, Section
from afl_sim.scenario.sections.ranges import is_range, problems
from afl_sim.scenario.units import DURATION, ENERGY, SIZE, Unreadable
from afl_sim.scenario.wording import hint, show

COSTS: Final = ("time", "bytes", "samples", "energy", "price", "carbon")
"""What a run spends until it reaches a target."""

MEASURES: Final = (
    *("mean_staleness", "staleness_p50", "staleness_p95", "max_staleness"),
    *("idle_fraction", "wasted_fraction"),
    *("seconds", "bytes", "samples", "energy_joules", "price", "carbon_grams"),
    *("worst_decile_accuracy", "final_accuracy"),
)
"""What a constraint can limit."""

SHARES: Final = ("idle_fraction", "wasted_fraction", "worst_decile_accuracy", "final_accuracy")
"""Those from 0 to 1."""

_UNITS: Final = {"seconds": DURATION, "bytes": SIZE, "energy_joules": ENERGY}
"""Those whose limits may have a unit."""

TO: Final = "_to_"
_TARGET: Final = re.compile(r"\s*([A-Za-z]\w*)\s*(?:[:=]|\s)\s*(\S+)\s*")
_LIMIT: Final = re.compile(r"\s*([A-Za-z][\w ]*?)\s*(<=|>=)\s*(\S.*?)\s*")
_LIMIT_FORM: Final = "a measure, <= or >=, and a number, such as staleness_p95 <= 20"


class Objective(Section):
    """What is to be small: the cost at which a metric first reaches a target."""

    cost: Literal["time", "bytes", "samples", "energy", "price", "carbon"]
    metric: str
    target: Number

    @property
    def name(self) -> str:
        """Its name, such as ``time_to_accuracy``."""
        return f"{self.cost}{TO}{self.metric}"


class Limit(Section):
    """A constraint.

    Attributes:
        measure: one of `MEASURES`.
        sign: whether the value is the largest or the smallest that is allowed.
        value: the limit.
    """

    measure: str
    sign: Literal["<=", ">="]
    value: Number

    def is_met(self, found: float | None) -> bool:
        """Whether a value keeps the limit; one that is not known does not."""
        if found is None or math.isnan(found):
            return False
        return found <= self.value if self.sign == "<=" else found >= self.value

    def __str__(self) -> str:
        return f"{self.measure} {self.sign} {self.value:g}"


DEFAULT_SHARE: Final = 0.2


class Budget(Section):
    """How much may be spent on training candidates. One of the keys."""

    share: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="The part of the samples that training every candidate with every seed to its "
        f"end would take. By default {DEFAULT_SHARE}.",
    )
    samples: Count | None = Field(
        default=None, description="Samples trained, over all candidates and seeds (samples)."
    )
    wall_seconds: Annotated[Number, Field(gt=0), DURATION] | None = Field(
        default=None,
        description="Wall time of the training (seconds). The result then depends on the speed of "
        "the machine.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) > 1:
            raise _wrong(f"has both {given[0]} and {given[1]}; expected one of them")
        return self


def objective(value: Any) -> Any:
    """An objective as it is written: ``time_to_accuracy 0.95`` or {time_to_accuracy: 0.95}."""
    if isinstance(value, Objective):
        return value
    example = "expected a cost to a target, such as {time_to_accuracy: 0.95}"
    if isinstance(value, str):
        match = _TARGET.fullmatch(value)
        if match is None:
            raise _wrong(f"got {show(value)}; {example}")
        name, target = match[1], _number(match[2])
    elif isinstance(value, Mapping) and {"cost", "metric", "target"} == set(value):
        return dict(value)  # as it is written out
    elif isinstance(value, Mapping) and len(value) == 1:
        name, target = next(iter(value.items()))
    elif isinstance(value, Mapping) and len(value) > 1:
        raise _wrong(f"has {' and '.join(map(str, value))}; expected one cost to a target")
    else:
        raise _wrong(f"got {show(value)}; {example}")
    cost, to, metric = str(name).partition(TO)
    known = ", ".join(f"{each}_to_METRIC" for each in COSTS)
    if not to or not metric or cost not in COSTS:
        near = hint(str(name), [f"{each}{TO}{metric or 'accuracy'}" for each in COSTS])
        raise _wrong(f"unknown objective {show(name)}; expected one of {known}{near}")
    if isinstance(target, bool) or not isinstance(target, int | float):
        raise _wrong(f"{name}: got {show(target)}; expected the target, a number")
    return {"cost": cost, "metric": metric, "target": target}


def limits(value: Any) -> Any:
    """The constraints as they are written: a list of texts, or one text."""
    if value is None:
        return ()
    return [_limit(each) for each in (value if isinstance(value, list | tuple) else [value])]


def _limit(value: Any) -> Any:
    if isinstance(value, Limit):
        return value
    if isinstance(value, Mapping) and set(value) == {"measure", "sign", "value"}:
        return dict(value)
    match = _LIMIT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wrong(f"got {show(value)}; expected {_LIMIT_FORM}")
    measure = re.sub(r"\s+", "_", match[1])
    if measure not in MEASURES:
        known = ", ".join(MEASURES)
        raise _wrong(
            f"unknown measure {show(measure)}; expected one of {known}{hint(measure, MEASURES)}"
        )
    number = _limit_of(measure, match[3])
    if not isinstance(number, int | float):
        raise _wrong(f"got {show(value)}; expected {_LIMIT_FORM}")
    if measure in SHARES and not 0 <= number <= 1:
        near = f"; did you mean {number / 100:g}?" if 1 < number <= 100 else ""
        raise _wrong(f"{value.strip()}: got {match[3]}; expected a share from 0 to 1{near}")
    return {"measure": measure, "sign": match[2], "value": number}


def _limit_of(measure: str, text: str) -> Any:
    """The number after the sign, which may have a unit; else what stands there."""
    number = _number(text)
    if isinstance(number, int | float) or measure not in _UNITS:
        return number
    try:
        return _UNITS[measure].read(text)
    except Unreadable as error:
        raise _wrong(f"{measure}: {error}") from None


def _vary(value: Any) -> Any:
    if not isinstance(value, Mapping) or not value:
        raise _wrong(
            f"got {show(value)}, so there is nothing to choose from; expected a block of "
            "settings, each with a list of choices or a range"
        )
    for key, entry in value.items():
        if not is_range(entry) and not isinstance(entry, list | tuple):
            raise _wrong(
                f"{key}: got {show(entry)}; expected a list of choices, or a range such as "
                "{integers: [1, 50]} or {numbers: [0.01, 1], log: true}"
            )
        for problem in problems(entry, str(key)):
            raise _wrong(problem)
    return dict(value)


def _number(text: str) -> Any:
    try:
        found = float(text)
    except ValueError:
        return text
    return found if math.isfinite(found) else text


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("scenario", "{message}", {"message": message})


_OBJECTIVE: Final = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}
_TEXTS: Final = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_SPACE: Final = {"type": "object", "minProperties": 1}


class Design(Section):
    """The search of `afl-sim design`. It changes no run of the scenario itself."""

    vary: Annotated[dict[str, Any], BeforeValidator(_vary), WithJsonSchema(_SPACE)] = Field(
        description="What may vary, by dotted keys as in a sweep: a list of choices, "
        "{integers: [LOW, HIGH]} or {numbers: [LOW, HIGH]}, both with `log: true` for a "
        "logarithmic scale. A choice may be a block, such as a strategy, whose own settings are "
        "fixed, or ranges; there choices are written {choices: [...]}."
    )
    minimize: Annotated[Objective, BeforeValidator(objective), WithJsonSchema(_OBJECTIVE)] = Field(
        description="The cost until a metric reaches a target, such as {time_to_accuracy: 0.95}. "
        f"Costs: {', '.join(COSTS)}."
    )
    constraints: Annotated[tuple[Limit, ...], BeforeValidator(limits), WithJsonSchema(_TEXTS)] = (
        Field(
            default=(),
            description="Limits such as `staleness_p95 <= 20` or `energy_joules <= 50 kJ`; a "
            "candidate must keep all of them. "
            f"Measures: {', '.join(MEASURES)}.",
        )
    )
    budget: Budget = Field(default=Budget(), description="How much training may be spent.")
    seeds: Annotated[Count, Field(le=100)] = Field(
        default=5,
        description="Seeds with which the last candidates are compared; derived from `seed` as "
        "replications are.",
    )
    candidates: Annotated[Count, Field(le=10_000)] = Field(
        default=200,
        description="The most candidates that are considered. A space with more points than that "
        "is sampled.",
    )
