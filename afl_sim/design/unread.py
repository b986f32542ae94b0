"""Which settings have no effect beside a strategy, so that a design need not vary them there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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


def lies_in(keys: str, blocks: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of some blocks, or lies in one."""
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
