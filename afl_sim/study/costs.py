"""Tells what the runs of a scenario file will cost on this machine, and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from afl_sim.run.cost import Rates, flops_per_sample, measure
from afl_sim.run.preparation import prepare
from afl_sim.run.work import Work, work_of
from afl_sim.scenario import Scenario, Study
from afl_sim.scenario.dumping import WITHOUT_EFFECT

_SECONDS = 2.0  # for each measurement, at most and at least, and for all of them
_LEAST = 0.5
_ALL = 30.0
_TITLES = {"name", "description", "replications", "seed"}
_ELSEWHERE = {"recording", *WITHOUT_EFFECT}  # what is written of the work, and where it is done
_NUMBERS = {"optimizer", "lr_schedule", "loss", "augment"}  # of training; they decide no instant
_PASSES = 3  # a step's operations in forward passes: gradients by weights, and by activations


@dataclass(frozen=True)
class Cost:
    """What a run costs.

    Attributes:
        label: the run's.
        work: what it computes; or why only training would tell.
        rates: how long its parts take here.
        flops: floating-point operations of its local steps; None if they are unknown.
        workers: worker processes that its scenario asks for.
    """

    label: str
    work: Work | str
    rates: Rates
    flops: float | None
    workers: int

    @property
    def seconds(self) -> float | None:
        """Wall seconds in one process; None if the work is unknown."""
        return None if isinstance(self.work, str) else self.rates.seconds(self.work)

    @property
    def seconds_at_best(self) -> float | None:
        """Wall seconds with the scenario's workers, if they lose no time; None if unknown."""
        return None if isinstance(self.work, str) else self.rates.seconds(self.work, self.workers)


@dataclass(frozen=True)
class Shared:
    """How many different things the runs of a study have.

    Attributes:
        partitions: of samples over clients.
        models: initial models.
        fleets: clients and links, with their random numbers.
        schedules: of all events.
    """

    partitions: int
    models: int
    fleets: int
    schedules: int


def costs(study: Study) -> Iterator[Cost]:
    """What each run costs, in order.

    A schedule that several runs have is computed once. Runs that differ by the seed alone are
    measured once.

    Raises:
        AflSimError: a run fails.
    """
    each = min(_SECONDS, max(_LEAST, _ALL / len({_kind(case.scenario) for case in study.cases})))
    works: dict[str, Work | str] = {}
    rates: dict[str, Rates] = {}
    flops: dict[str, float | None] = {}
    for case in study.cases:
        scenario = case.scenario
        schedule, kind, model = _schedule(scenario), _kind(scenario), _model(scenario)
        if schedule not in works:
            works[schedule] = work_of(prepare(scenario, timing_only=True))
        if kind not in rates:
            rates[kind] = measure(scenario, each)
        if model not in flops:
            flops[model] = flops_per_sample(scenario)
        work, forward = works[schedule], flops[model]
        known = None if isinstance(work, str) or forward is None else work.samples * forward
        if known is not None:
            known *= getattr(scenario.strategy, "gradients_per_step", 1)
        yield Cost(
            case.label,
            work,
            rates[kind],
            None if known is None else _PASSES * known,
            scenario.execution.workers,
        )


def shared(study: Study) -> Shared:
    """What the runs of a study share."""
    scenarios = [case.scenario for case in study.cases]
    return Shared(
        len({_part(each, "seed", "data", "clients") for each in scenarios}),
        len({(each.seed, _model(each)) for each in scenarios}),
        len({_part(each, "seed", "clients") for each in scenarios}),
        len({_schedule(each) for each in scenarios}),
    )


def _kind(scenario: Scenario) -> str:
    """Equal for runs whose parts take the same time."""
    return scenario.model_dump_json(by_alias=True, exclude=_TITLES)


def _schedule(scenario: Scenario) -> str:
    """Equal only for runs that have the same schedule, and do the same work."""
    left_out: dict[str, Any] = dict.fromkeys(_TITLES - {"seed"} | _ELSEWHERE | {"numerics"}, True)
    return scenario.model_dump_json(by_alias=True, exclude={**left_out, "training": _NUMBERS})


def _model(scenario: Scenario) -> str:
    return _part(scenario, "model", "data")


def _part(scenario: Scenario, *sections: str) -> str:
    return scenario.model_dump_json(by_alias=True, include=set(sections))
