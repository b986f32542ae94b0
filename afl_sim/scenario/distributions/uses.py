"""Distributions for a given use. A form is refused if some of its entries could never be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In, SignedDistribution
from afl_sim.scenario.distributions.elementary import HIGHEST, LOWEST
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
    return max(_ends(value.form, HIGHEST, value))


def smallest(value: Distribution) -> float:
    """The smallest number that can be drawn, for any client."""
    return min(_ends(value.form, LOWEST, value))


def _ends(form: Any, u: float, of: Distribution | None = None) -> Iterator[float]:
    """The values at probability ``u`` of every part of a form, for every client.

    The form of a whole distribution ``of`` is not read again.
    """
    if not isinstance(form, dict):
        yield float(form)
    elif "mixture" in form:
        for part in form["mixture"]:
            yield from _ends({k: v for k, v in part.items() if k != "weight"}, u)
    elif "values" in form or "sequence" in form:
        for part in form.get("values") or form["sequence"]:
            yield from _ends(part, u)
    elif len(form) == 1 and not isinstance(form.get("dist", ""), str):
        yield from _ends(form["dist"], u)  # a number in a mixture
    else:
        law = of or Distribution(form)
        yield from (law.quantile(u, client) for client in range(law.length or 1))


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
