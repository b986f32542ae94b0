"""Rules by which the server changes its concurrency and the size of its buffer during a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.errors import OwnRuleError
from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind
from afl_sim.scenario.own_rules.calling import code_of_rule, refusal
from afl_sim.scenario.section import Count, Number, Seconds, Section
from afl_sim.scenario.sections.observation import Decision, Observation

Setting = Literal["concurrency", "buffer_size"]
SETTINGS: Final[tuple[Setting, ...]] = ("concurrency", "buffer_size")
"""The settings of a strategy that a controller may change."""

_EVERY = (
    "Number of updates that are used between two decisions; a decision falls on the version that "
)
_EVERY += "reaches it (updates). null: the concurrency in force, one update per client at work."
_FACTOR = 2.0
"""The most by which one decision multiplies or divides a setting."""


class Controller(Rule):
    """The base class of a user's own controller.

    The server asks it when it has made a version and ``every`` updates or more were used since the
    last decision. A controller keeps nothing on itself. What it wants to remember is the
    `memory` of its decision, which comes with the next observation.

    Example:
        >>> from afl_sim import Controller, Decision, Observation
        >>> class Half(Controller):
        ...     def decide(self, observation):
        ...         return Decision(concurrency=max(1, observation.concurrency // 2))
        >>> Half().decide(Observation(concurrency=9)).concurrency
        4
    """

    every: Count | None = Field(default=None, description=_EVERY)

    def decide(self, observation: Observation) -> Decision:
        """What holds from the next dispatch and the next buffer on.

        Args:
            observation: what the server knows: no tensor, no loss.
        """
        raise NotImplementedError


CONTROLLERS = RuleKind("controller", "afl_sim.controllers", Controller, "decide", ("observation",))


class _Controller(Section):
    every: Count | None = Field(default=None, description=_EVERY)
    gain: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="g: the share of the correction that a decision makes (no unit).",
    )
    least: Count = Field(default=1, description="The smallest value of the setting.")
    most: Count | None = Field(
        default=None, description="The largest value of the setting; null: the number of clients."
    )

    @model_validator(mode="after")
    def _some_range(self) -> Self:
        if self.most is not None and self.least > self.most:
            raise PydanticCustomError(
                "scenario", f"least is {self.least}, more than most ({self.most})"
            )
        return self

    def changes(self) -> Setting:
        """The setting that it changes."""
        return "concurrency"

    def wanted(self, x: int, ratio: float, clients: int) -> int:
        """``x (1 + g (r - 1))``, rounded and within the range; r is the ratio, within a factor 2.

        Only sums and products are used, so that every machine gets the same number.
        """
        r = min(max(ratio, 1 / _FACTOR), _FACTOR)
        most = clients if self.most is None else self.most
        return min(max(round(x * (1 + self.gain * (r - 1))), self.least), most)


class StalenessTarget(_Controller):
    """Keeps a figure of the staleness near a target, by the concurrency or by the buffer's size.

    With the concurrency x, the target q* and the staleness q of the updates since the last
    decision, ``x <- x (1 + g (r - 1))`` with ``r = (q* + 1) / (q + 1)``, at least 1/2 and at most
    2. The buffer's size follows the inverse ratio. If q is above the target, the setting changes by
    at least 1.
    """

    kind: Literal["staleness_target"] = Field(description="The kind of controller.")
    mean: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="q*: target of the mean staleness (versions)."
    )
    p50: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="q*: target of the median staleness (versions)."
    )
    p95: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="q*: target of the 95th percentile, nearest rank (versions)."
    )
    max: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="q*: target of the largest staleness (versions)."
    )
    adjust: Setting = Field(
        default="concurrency", description="The setting of the strategy that is changed."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        given = [name for name in _FIGURES if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "no target"
            raise PydanticCustomError(
                "scenario", f"has {found}; expected one of {', '.join(_FIGURES)}"
            )
        return self

    def changes(self) -> Setting:
        return self.adjust

    def decide(self, observation: Observation) -> Decision:
        """The setting after an interval with this staleness."""
        name = next(name for name in _FIGURES if getattr(self, name) is not None)
        target = getattr(self, name)
        found = (
            observation.mean_staleness
            if name == "mean"
            else observation.staleness_quantile(_FIGURES[name])
        )
        x, clients = _value(observation, self.adjust), observation.clients
        up = self.adjust == "buffer_size"
        ratio = (found + 1) / (target + 1) if up else (target + 1) / (found + 1)
        wanted = self.wanted(x, ratio, clients)
        if found > target and wanted == x:
            most = clients if self.most is None else self.most
            wanted = min(max(x + (1 if up else -1), self.least), most)
        return _decision(self.adjust, wanted)


_FIGURES: Final = {"mean": 0.0, "p50": 0.5, "p95": 0.95, "max": 1.0}


class Utilisation(_Controller):
    """Keeps the server's links or its aggregation as busy as the target says, by the concurrency.

    With the target u* and the utilisation u since the last decision, ``x <- x (1 + g (r - 1))``
    with ``r = u* / u``, at least 1/2 and at most 2; r is 2 if nothing was busy. By the utilisation
    law, u is the number of transfers per second times the seconds that one occupies the link.
    """

    kind: Literal["utilisation"] = Field(description="The kind of controller.")
    target: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.8, description="u*: target of the share of time (share, 0.8 is 80 %)."
    )
    of: Literal["busiest", "download", "upload", "aggregation"] = Field(
        default="busiest",
        description="What is to be busy: the server's download link, its upload link, its "
        "aggregation, or the busiest of them.",
    )

    def decide(self, observation: Observation) -> Decision:
        """The concurrency after an interval with this utilisation."""
        shares = observation.utilisation
        found = max(shares.values(), default=0.0) if self.of == "busiest" else shares[self.of]
        x = _value(observation, "concurrency")
        ratio = self.target / found if found > 0 else _FACTOR
        return Decision(concurrency=self.wanted(x, ratio, observation.clients))


class VersionInterval(_Controller):
    """Keeps the time between two versions near a target, by the size of the buffer.

    With the target T* and the mean time T between the versions since the last decision,
    ``K <- K (1 + g (r - 1))`` with ``r = T* / T``, at least 1/2 and at most 2; r is 2 if no time
    passed.
    """

    kind: Literal["version_interval"] = Field(description="The kind of controller.")
    seconds: Seconds = Field(description="T*: target of the time between two versions (seconds).")

    def changes(self) -> Setting:
        return "buffer_size"

    def decide(self, observation: Observation) -> Decision:
        """The buffer's size after an interval with these versions."""
        found = observation.seconds / observation.versions
        x = _value(observation, "buffer_size")
        ratio = self.seconds / found if found > 0 else _FACTOR
        return Decision(buffer_size=self.wanted(x, ratio, observation.clients))


BUILT_IN = ("staleness_target", "utilisation", "version_interval")
BuiltIn = StalenessTarget | Utilisation | VersionInterval

AnyController = Annotated[
    Annotated[BuiltIn, Field(discriminator="kind")],
    OpenTo(CONTROLLERS, BUILT_IN),
]
"""A built-in controller, or one of the user's own."""


def decided_by(rule: BuiltIn | Controller, observation: Observation) -> Decision:
    """What a controller decides, checked and complete: the settings that hold from now on.

    Raises:
        OwnRuleError: a user's own controller raised an exception, or gave something else than a
            `Decision` with possible settings.
    """
    before = {name: getattr(observation, name) for name in SETTINGS}
    if not isinstance(rule, Controller):
        decision = rule.decide(observation)
        changed = {name: getattr(decision, name) for name in SETTINGS}
        return replace(decision, **{k: before[k] if v is None else v for k, v in changed.items()})
    with code_of_rule(rule, CONTROLLERS.noun, CONTROLLERS.hook):
        answer: Any = rule.decide(observation)
    if not isinstance(answer, Decision):
        raise _refused(rule, f"returned a {type(answer).__name__}; expected an afl_sim.Decision")
    most = {"concurrency": observation.clients, "buffer_size": None}
    now = {name: _checked(rule, name, answer, before[name], most[name]) for name in SETTINGS}
    return Decision(**now, memory=_plain(rule, answer.memory))


def _checked(
    rule: Controller, name: str, answer: Decision, before: int | None, most: int | None
) -> int | None:
    value: Any = getattr(answer, name)
    if value is None:
        return before
    if before is None:
        raise _refused(rule, f"returned a {name}, which the strategy does not have; expected None")
    allowed = "at least 1" if most is None else f"from 1 to {most}"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < 1 or (most is not None and value > most):
        raise _refused(rule, f"returned {name}={value!r}; expected a whole number {allowed}")
    return int(value)


def _plain(rule: Controller, memory: Any) -> Mapping[str, Any]:
    """The memory as plain values of its own, so that nobody can change it."""
    if not isinstance(memory, Mapping):
        raise _refused(rule, f"returned a memory of type {type(memory).__name__}; expected a dict")
    try:
        text = json.dumps(dict(memory), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _refused(rule, f"returned a memory that is not plain: {error}") from None
    found: dict[str, Any] = json.loads(text)
    return found


def _refused(rule: Controller, what: str) -> OwnRuleError:
    return refusal(rule, CONTROLLERS.noun, CONTROLLERS.hook, what)


def _value(observation: Observation, name: Setting) -> int:
    value: int | None = getattr(observation, name)
    if value is None:
        raise ValueError(f"the strategy has no {name}")
    return value


def _decision(name: Setting, value: int) -> Decision:
    return Decision(concurrency=value) if name == "concurrency" else Decision(buffer_size=value)


def settings_of(rule: BuiltIn | Controller) -> Iterable[Setting]:
    """The settings of which it is known that the controller changes them."""
    return () if isinstance(rule, Controller) else (rule.changes(),)
