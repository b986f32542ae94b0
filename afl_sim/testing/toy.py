"""A strategy's whole run on a toy problem: real schedules, real aggregation, no network.

The problem is that of `afl_sim.testing.quadratics`. A run of some dozens of versions takes
milliseconds.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from afl_sim.execution.local.inline import InlineExecutor
from afl_sim.execution.numerics import fingerprint
from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import Executor
from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.execution.workers.processes import ProcessSeat
from afl_sim.global_model.guard import Guard
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.learning.training.attackers import Attackers, attackers_of
from afl_sim.learning.training.compressors import Compressor
from afl_sim.recording.events import EventLog
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Numerics, Scenario, ValidationContext
from afl_sim.scenario.own_rules import Rule
from afl_sim.scenario.sections.attack import Attack
from afl_sim.scenario.sections.compression import Compression
from afl_sim.scenario.sections.compression import Compressor as OwnCompressor
from afl_sim.scenario.sections.controllers import Controller
from afl_sim.scenario.sections.selection import Selection
from afl_sim.strategies.base import Population, Strategy, Update
from afl_sim.streams import Streams
from afl_sim.testing.quadratics import (
    INITIAL,
    SIZE,
    STEPS,
    Quadratics,
    Unjudged,
    layout,
    targets,
)
from afl_sim.world.event_kinds import AGGREGATED
from afl_sim.world.server.statistics import Counts
from afl_sim.world.world import World

WORKERS = 2
_SAMPLES = (1, 3, 2, 5)  # that clients hold, in turn
_SECONDS = (1, 2, 2, 3, 5, 1, 4, 8)  # a task's duration, in turn: full of ties


@dataclass(frozen=True)
class Case:
    """A strategy to be checked, and what it should keep to.

    Attributes:
        strategy: with the settings to check; they have to suit ``clients`` clients.
        clients: the size of the toy population.
        versions: how long the toy runs last.
        lone: settings with which, for a single client, the rule is plain training: the client's own
            model, or ``w - lr g`` of a gradient method. None where no settings make it so.
        max_staleness: the staleness that the paper promises not to exceed, if any.
        shrinks_to: the part of the distance to the optimum that may be left at the end of a run in
            which all clients have the same optimum.
        rule: a rule of the user's own that the run follows, besides the strategy.
    """

    strategy: Strategy
    clients: int = 6
    versions: int = 40
    lone: Mapping[str, Any] | None = None
    max_staleness: int | None = None
    shrinks_to: float = 0.05
    rule: Rule | None = None


@dataclass
class Trail:
    """What a run left behind.

    Attributes:
        vector: shape (3,): the final global model.
        schedule_digest: of the event log.
        counts: what happened to the tasks.
        staleness: of the aggregated updates, in order.
    """

    vector: Tensor | None = None
    schedule_digest: str = ""
    counts: Counts = field(default_factory=Counts)
    staleness: list[int] = field(default_factory=list)


class Whimsical(Guard):
    """Refuses one update in three, and now and then all of a version."""

    def accepts(self, update: Update) -> bool:
        """Whatever its numbers."""
        version = update.base_version + update.staleness
        return (version + update.client) % 3 != 0 and version % 4 != 3


def _runner(clients: int, kind: str, rule: Rule | None) -> TaskRunner:
    trainer: Any = Quadratics(targets(clients, kind))
    evaluator: Any = Unjudged()
    return TaskRunner(trainer, evaluator, _compressor(rule), False, _attackers(rule, clients))


def _compressor(rule: Rule | None) -> Compressor | None:
    if not isinstance(rule, OwnCompressor):
        return None
    return Compressor(Compression(upload=rule), Streams(7))


def _attackers(rule: Rule | None, clients: int) -> Attackers | None:
    if not isinstance(rule, Attack):
        return None
    return Attackers(rule, attackers_of(rule, clients, Streams(7)), Streams(7))


@cache
def _pool() -> WorkerPool:
    numerics = Numerics()
    pool = WorkerPool(partial(ProcessSeat, [numerics]), WORKERS, [fingerprint(numerics)])
    atexit.register(pool.close)
    return pool


def pooled_executor_of(clients: int, rule: Rule | None = None) -> Executor:
    """Training in two worker processes, kept until this one ends; towards spread targets."""
    return _pool().executor(partial(_runner, clients, "spread", rule))


def executor_of(clients: int, kind: str, rule: Rule | None = None) -> InlineExecutor:
    """Training in this process."""
    trainer: Any = Quadratics(targets(clients, kind))
    evaluator: Any = Unjudged()
    attackers = _attackers(rule, clients)
    return InlineExecutor(trainer, evaluator, _compressor(rule), False, attackers)


def scenario_of(case: Case, availability: Any = "always") -> Scenario:
    """The toy scenario: task durations full of ties, and steps that take their part of them."""
    seconds = [
        {"sequence": [_SECONDS[(3 * client + task) % len(_SECONDS)] for task in range(64)]}
        for client in range(case.clients)
    ]
    fields = {
        "name": "toy",
        "clients": {
            "count": case.clients,
            "compute": {"seconds_per_task": 1, "jitter": {"values": seconds}},
            "availability": availability,
        },
        "training": {"steps": STEPS},
        "strategy": "fedavg",
        "stop": {"versions": case.versions},
    }
    fields["strategy"] = {"kind": "fedavg", "clients_per_round": 1}
    if isinstance(case.rule, Selection):
        fields["server"] = {"selection": case.rule}
    if isinstance(case.rule, Controller):
        fields["server"] = {"adaptive": case.rule}
    return Scenario.model_validate(fields, context=ValidationContext(catalogue()))


def samples_of(client: int) -> int:
    """n_k of the toy population."""
    return _SAMPLES[client % len(_SAMPLES)]


def learner_of(
    case: Case,
    executor: Executor,
    strategy: Strategy | None = None,
    guard: Guard | None = None,
) -> TrainingLearner:
    """The numeric half of a toy run."""
    return TrainingLearner(
        strategy or case.strategy,
        executor,
        torch.cat([INITIAL, torch.tensor([float(case.strategy.gradient)])]),
        layout(),
        Population(case.clients, samples_of),
        lambda base_version: 1.0,
        lambda *row: None,
        guard=guard,
        feeds_back=bool(getattr(case.rule, "error_feedback", False)),
    )


def turn(
    case: Case,
    learner: Any,
    after_version: Callable[[int], None] | None = None,
    strategy: Strategy | None = None,
    availability: Any = "always",
) -> Trail:
    """Run the toy scenario on a learner."""
    log, trail = EventLog(), Trail()

    def append(time_us: int, kind: int, *rest: Any) -> None:
        log.append(time_us, kind, *rest)
        if kind == AGGREGATED:
            trail.staleness.append(rest[4])

    scheduled: Any = strategy or case.strategy
    world = World(
        scenario_of(case, availability),
        scheduled,
        samples_of,
        4 * SIZE,
        learner,
        append,
        after_version=after_version,
    )
    world.run()
    trail.schedule_digest, trail.counts = log.schedule_digest, world.server.counts
    vector = getattr(learner, "vector", None)
    trail.vector = None if vector is None else vector[:SIZE]
    return trail


@dataclass(frozen=True)
class Call:
    """The arguments of one call of ``aggregate``."""

    params: Tensor
    state: Any
    updates: Sequence[Update]
    context: Mapping[str, Any]


def calls_of(case: Case, kind: str = "spread") -> list[Call]:
    """Every call of ``aggregate`` in a toy run, in order."""
    calls: list[Call] = []
    cls: type[Strategy] = type(case.strategy)

    def aggregate(self: Strategy, *arguments: Any) -> Any:
        calls.append(Call(*arguments))
        return cls.aggregate(self, *arguments)

    methods = {"aggregate": aggregate, "__module__": cls.__module__}
    watched: type[Strategy] = type(cls.__name__, (cls,), methods)
    strategy = watched.model_validate(case.strategy.model_dump())
    turn(case, learner_of(case, executor_of(case.clients, kind), strategy), strategy=strategy)
    return calls
