"""Distributions for a given use. A form is refused if some of its entries could never be used."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In, SignedDistribution
from afl_sim.scenario.distributions.elementary import HIGHEST
from afl_sim.scenario.units import DURATION


def _no_sequence(value: Distribution) -> Distribution:
    if _changes(value.form):
        raise PydanticCustomError(
            "scenario",
            "a sequence gives each task its own number, but this is drawn once for each client, "
            "so only the first would be used; expected a number or another distribution",
        )
    return value


def _no_list(value: Distribution) -> Distribution:
    if value.length is not None:
        raise PydanticCustomError(
            "scenario",
            "has a value for each client, but this belongs to the server, so only the first would "
            "be used; expected one number or distribution",
        )
    return value


def not_nothing(value: Distribution) -> Distribution:
    """Refuse a duration that is always 0."""
    if value.constant == 0:
        raise PydanticCustomError("scenario", "got 0; expected a duration above 0")
    return value


def never_zero(value: Distribution) -> Distribution:
    """Refuse a rate or a factor that can be 0."""
    if not value.positive:
        raise PydanticCustomError(
            "scenario", "can be 0; expected a number or distribution that is always above 0"
        )
    return value


def largest(value: Distribution) -> float:
    """The largest number that can be drawn, for any client."""
    return _largest(value.form)


def _largest(form: Any) -> float:
    if not isinstance(form, dict):
        return float(form)
    if "mixture" in form:
        parts = ({k: v for k, v in part.items() if k != "weight"} for part in form["mixture"])
        return max(_largest(part) for part in parts)
    for several in ("values", "sequence"):
        if several in form:
            return max(map(_largest, form[several]))
    if len(form) == 1 and not isinstance(form.get("dist", ""), str):
        return _largest(form["dist"])  # a number in a mixture
    law = Distribution(form)
    return max(law.quantile(HIGHEST, client) for client in range(law.length or 1))


def _changes(form: Any) -> bool:
    """Whether a form has a sequence in it of more than one number."""
    if isinstance(form, dict):
        return len(set(form.get("sequence", ()))) > 1 or any(map(_changes, form.values()))
    return isinstance(form, list | tuple) and any(map(_changes, form))


OncePerClient = Annotated[Distribution, AfterValidator(_no_sequence)]
"""What is drawn once for each client and stays."""

SteadyRate = Annotated[OncePerClient, AfterValidator(never_zero)]
"""A rate or factor above 0 that is drawn once for each client and stays."""

Positive = Annotated[Distribution, AfterValidator(never_zero)]
"""What is above 0 with probability one."""

SignedOncePerClient = Annotated[SignedDistribution, AfterValidator(_no_sequence)]
"""What is drawn once for each client and stays, and may be below 0."""

ServersOwn = Annotated[Distribution, AfterValidator(_no_list)]
"""What the server draws for itself."""

Lasting = Annotated[Distribution, AfterValidator(not_nothing), In(DURATION)]
"""A duration that is drawn again and again, and is not always 0."""

Duration = Annotated[Distribution, In(DURATION)]
"""A duration that is drawn again and again."""

ClientDuration = Annotated[OncePerClient, In(DURATION)]
"""A duration or an instant that is drawn once for each client."""

ServerDuration = Annotated[ServersOwn, In(DURATION)]
"""A duration that the server draws for itself."""
