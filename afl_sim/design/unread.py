"""Which settings have no effect beside a strategy, so that a design need not vary them there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from afl_sim.design.space import STRATEGY, Point, Space
from afl_sim.scenario.scenario import Scenario


def unread_by(scenario: Scenario) -> tuple[str, ...]:
    """Dotted keys of blocks and settings that the scenario's strategy makes nothing of."""
    return tuple(_unread(scenario))


def _unread(scenario: Scenario) -> Iterator[str]:
    strategy, training = scenario.strategy, scenario.training
    others_train = training.personalization is not None or scenario.evaluation.fine_tuning
    if getattr(strategy, "gradient", False) and not others_train:
        yield "training.optimizer"
    if getattr(strategy, "gives_steps", False):
        yield from ("training.epochs", "training.steps")


def without_unread(
    space: Space, scenario: Scenario, scenario_of: Callable[[Point], Scenario | None]
) -> Space:
    """The space without what has no effect beside a strategy.

    A strategy is asked with the first value of everything. One that does not go with these is taken
    to read all.

    Args:
        space: all that the file lets vary.
        scenario: that of the file, as it stands.
        scenario_of: gives that of a point, or None.
    """
    chosen = [each for each in space.parameters if each.keys == STRATEGY]
    others = [each.keys for each in space.parameters if each.keys != STRATEGY]
    if not chosen:
        unread = unread_by(scenario)
        kept = [each for each in space.parameters if not _lies_in(each.keys, unread)]
        return Space(tuple(kept)) if kept else space
    found: dict[Any, list[str]] = {}
    for point in space.ends():
        option = point[STRATEGY]
        if option not in found and (made := scenario_of(point)) is not None:
            unread = unread_by(made)
            found[option] = [keys for keys in others if _lies_in(keys, unread)]
    return replace(space, unread={option: keys for option, keys in found.items() if keys})


def _lies_in(keys: str, blocks: tuple[str, ...]) -> bool:
    return any(keys == block or keys.startswith(f"{block}.") for block in blocks)


def sentences(unread: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What is left out, a line for each setting.

    Args:
        unread: by setting, the strategies that make nothing of it.
    """
    return [
        f"{keys} does not vary with {', '.join(strategies)}: it has no effect there"
        for keys, strategies in unread.items()
    ]
