"""Lists of clients that the scenario wants in random order."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.streams import Streams

S = TypeVar("S", bound=BaseModel)


def with_shuffles(section: S, streams: Streams, path: str) -> S:
    """The section, in which every list with ``shuffle: true`` is shuffled.

    Each key has its own order, from the stream ``"shuffle.<key path>"``.

    Args:
        section: of a scenario, or all of it.
        streams: the run's random streams.
        path: the section's key path; empty for a whole scenario.
    """
    changes = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        new = _shuffled(value, streams, f"{path}.{field.alias or name}".lstrip("."))
        if new is not value:
            changes[name] = new
    return section.model_copy(update=changes) if changes else section


def _shuffled(value: Any, streams: Streams, key: str) -> Any:
    if isinstance(value, Distribution) and value.shuffles:
        order = streams.generator(f"shuffle.{key}").permutation(value.length or 0)
        return value.reordered(order.tolist())
    if isinstance(value, BaseModel):
        return with_shuffles(value, streams, key)
    if isinstance(value, tuple):
        new = tuple(_shuffled(item, streams, f"{key}.{i}") for i, item in enumerate(value))
        return value if all(a is b for a, b in zip(new, value, strict=True)) else new
    return value
