"""Numbers that are finite but larger than a run can count: seconds and local steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.section import HIGHEST_JOULES, HIGHEST_WATTS, LONGEST_SECONDS, MOST_STEPS
from afl_sim.scenario.wording import exact

_LATER = 1 << 30  # a task number at which every sequence holds its last value

_LIMITS = {
    "(watts": (HIGHEST_WATTS, "the most that is counted"),
    "(joules": (HIGHEST_JOULES, "the most that is counted"),
    "(seconds": (LONGEST_SECONDS, "the end of the clock"),
    "(steps": (MOST_STEPS, "the most in a task"),
    "(epochs": (MOST_STEPS, "the most in a task"),
}
"""By the unit that a key's description names."""


def beyond_all_bounds(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """Distributions with a median that no run can count; rare draws may be of any size.

    Args:
        sections: the valid ones among a scenario's attributes, by name.
    """
    for name, section in sections.items():
        for path, law, unit in _measured(section, (name,)):
            most, why = _LIMITS[unit]
            for client in range(law.length or 1):
                usual = max(law.quantile(0.5, client, k) for k in (0, _LATER))
                if usual > most:
                    drawn = "got" if law.constant is not None else "usually draws"
                    whose = f"client {client}: " if law.length else ""
                    yield Finding(
                        path,
                        f"{whose}{drawn} {exact(usual)}; expected at most {exact(most)}, {why}",
                    )
                    break


def _measured(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Distribution, str]]:
    """Every distribution of a limited unit, with its key path."""
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _measured(item, (*path, i))
    if not isinstance(value, BaseModel):
        return
    for name, field in type(value).model_fields.items():
        inner, below = getattr(value, name), (*path, field.alias or name)
        if isinstance(inner, Distribution):
            for unit in _LIMITS:
                if unit in (field.description or ""):
                    yield below, inner, unit
        else:
            yield from _measured(inner, below)
