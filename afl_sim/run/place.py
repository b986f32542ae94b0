"""Where a run that trains does its work, and in which arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from afl_sim.execution.numerics import deterministic
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.bits import effective_bits, effective_numerics
from afl_sim.run.executors import Executors, executors_of
from afl_sim.scenario import Scenario


@contextmanager
def place_of_work(
    scenario: Scenario,
    executors: Executors | None,
    stop_wanted: Callable[[], bool] | None,
) -> Iterator[Executors]:
    """The run's arithmetic, and workers if the scenario asks for some, while the block lasts.

    Args:
        scenario: the run's.
        executors: makes the executor of the run; None for the one that the scenario names.
        stop_wanted: whether the run should stop; asked while its workers start.
    """
    with ExitStack() as held:
        held.enter_context(deterministic(scenario.numerics.device))
        if executors is None:
            numerics = [effective_numerics(scenario)]
            executors = held.enter_context(executors_of(scenario.execution, numerics, stop_wanted))
        held.enter_context(arithmetic_of(effective_bits(scenario).portable))
        yield executors
