"""Whether a candidate lies at the end of what may vary, so that a wider range may hold better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from afl_sim.design.space import Choice, Parameter, Point, Space


def at_ends(space: Space, point: Point) -> list[str]:
    """The settings in which a point has the smallest or the largest value, such as ``lr=0.1``."""
    return [f"{name}={value}" for name, value in _at_ends(space.parameters_of(point), point)]


def _at_ends(parameters: Sequence[Parameter], point: Point) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        if isinstance(parameter, Choice):
            option = next(each for each in parameter.options if each.value == point[parameter.name])
            yield from _at_ends(option.inner, point)
            values = [each.value for each in parameter.options]
            if not all(isinstance(value, int | float) for value in values):
                continue
            low, high = min(values), max(values)
        else:
            low, high = parameter.low, parameter.high
        if low < high and point[parameter.name] in (low, high):
            yield from parameter.parts(point)


def sentences(space: Space, point: Point) -> list[str]:
    """The same in words: one sentence, or none."""
    found = at_ends(space, point)
    if not found:
        return []
    what = "an end of its range" if len(found) == 1 else "ends of their ranges"
    told = ", ".join(found)
    return [f"The winner has {told}, {what}: values beyond were not looked at, and may be better."]
