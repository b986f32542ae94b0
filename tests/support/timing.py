"""Runs of the world for the theory tests, reduced to the updates that were used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comparisons import REPLICATIONS
from world_runs import scenario

from afl_sim.theory.oracle import EXPONENTIAL, LAWS
from afl_sim.theory.timing import Updates
from afl_sim.theory.timing import updates_of as updates_of_scenario

__all__ = ["EXPONENTIAL", "LAWS", "Updates", "replicated", "updates_of"]


def updates_of(
    clients: int,
    strategy: Any,
    compute: dict[str, Any],
    *,
    updates: int,
    seed: int,
    script: Any = None,
    **sections: Any,
) -> Updates:
    """Run until ``updates`` updates are aggregated; ``script`` replaces the strategy's schedule."""
    built = scenario(
        clients,
        strategy=strategy,
        compute=compute,
        seed=seed,
        stop={"updates": updates},
        **sections,
    )
    return updates_of_scenario(built, script)


def replicated(run: Callable[[int], Updates], *, warm_up: int = 0) -> list[Updates]:
    """The same run with `REPLICATIONS` seeds, each without its warm-up."""
    return [run(seed).after(warm_up) for seed in range(1, REPLICATIONS + 1)]
