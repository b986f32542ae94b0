"""The initial model of a run, and what is tried on it before the run."""

from __future__ import annotations

from afl_sim.execution.numerics import deterministic
from afl_sim.learning.partition import Dealt
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.bits import effective_bits
from afl_sim.run.checks import check_alternation, check_fine_tuning
from afl_sim.run.initial_model import InitialModel, check_batching, demands_of, initial_model
from afl_sim.run.kinds import settings_of
from afl_sim.run.rule_trials import check_on_model
from afl_sim.scenario import Scenario
from afl_sim.streams import Streams


def checked_model(
    scenario: Scenario, dealt: Dealt, available: int | None, timing_only: bool
) -> InitialModel:
    """Build the model of a run, and try it and the user's own rules.

    Args:
        scenario: the run's.
        dealt: who trains on which samples, and is tested on which.
        available: number of samples that evaluations could use; None if that is not known.
        timing_only: whether the run trains nothing.

    Raises:
        ScenarioError: the model does not suit the data, or cannot be trained; or code of the user's
            own fails on it.
    """
    demands = demands_of(scenario, settings_of(scenario), dealt, available)
    streams = Streams(scenario.seed)
    portable = not timing_only and effective_bits(scenario).portable
    with deterministic(), arithmetic_of(portable):
        block = scenario.model.model_dump(by_alias=True)
        model = initial_model(block, scenario.data, streams, demands)
        check_alternation(scenario.training, model.parts)
        check_fine_tuning(scenario.evaluation, model.module, model.whole)
        check_on_model(scenario, model.vector[: model.layout.num_parameters])
    if scenario.numerics.mode == "batched":
        check_batching(scenario, model.module, demands)
    return model
