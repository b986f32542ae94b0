"""Judges an aggregation rule from elsewhere, beside a strategy of this package.

The strategy runs a scenario with real training. At each of its aggregations the other rule gets the
same updates and makes its own next model. The referee tells the first aggregation after which the
two models differ, and the number in which they do so most.

    from afl_sim import load_scenario
    from afl_sim.testing import judge

    def begin(weights):
        def mean(updates):
            total = sum(update.count for update in updates)
            return {
                name: sum(update.count * update.weights[name] for update in updates) / total
                for name in weights
            }
        return mean

    print(judge(load_scenario("scenario.yaml"), begin))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from afl_sim.errors import InputError
from afl_sim.execution.numerics import deterministic
from afl_sim.execution.tasks import Executor
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.run.building import learner_of, world_of
from afl_sim.run.checks import check_before_data
from afl_sim.run.executors import inline
from afl_sim.run.kinds import strategy_of
from afl_sim.run.preparation import Prepared, prepare
from afl_sim.scenario import Scenario
from afl_sim.strategies.base import Update
from afl_sim.world.event_kinds import AGGREGATED
from afl_sim.world.microseconds import MICROSECONDS

Weights = Mapping[str, npt.NDArray[np.float32]]
"""The parameters of a model, by the names of its state dict."""


class Contribution(NamedTuple):
    """One client's update, as a rule from elsewhere gets it.

    Attributes:
        weights: the client's model.
        count: training samples that the client holds.
        staleness: versions that the server made since the client downloaded the model.
        client: the client's index.
    """

    weights: Weights
    count: int
    staleness: int
    client: int


Rule = Callable[[Sequence[Contribution]], Mapping[str, Any]]
"""Makes the next global model of updates in order of arrival; it keeps its own model and state."""


@dataclass(frozen=True)
class Parting:
    """Where two rules part.

    Attributes:
        event: the index in the event log of the first update of the aggregation.
        seconds: when it is, in virtual time.
        version: the version that it makes.
        clients, staleness: of its updates, in order of arrival.
        name, index: the entry of the model in which the two differ most.
        before: its value in the model before, by our strategy.
        ours, theirs: its values in the models after.
    """

    event: int
    seconds: float
    version: int
    clients: tuple[int, ...]
    staleness: tuple[int, ...]
    name: str
    index: tuple[int, ...]
    before: float
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Their step in this entry as a multiple of ours; NaN if ours is 0."""
        ours = self.ours - self.before
        return (self.theirs - self.before) / ours if ours else float("nan")


@dataclass(frozen=True)
class Verdict:
    """What the referee found.

    Attributes:
        strategy: the kind of our strategy.
        versions: aggregations that were compared.
        largest: the largest difference of an entry, in units of the largest entry of a step; up to
            the parting, if there is one.
        parting: where the two part; None if they do not.
    """

    strategy: str
    versions: int
    largest: float
    parting: Parting | None

    @property
    def agrees(self) -> bool:
        """Whether the two made the same models."""
        return self.parting is None

    def __str__(self) -> str:
        if self.parting is None:
            return (
                f"the same as {self.strategy} over {self.versions} versions "
                f"(largest difference {self.largest:.1g} of a step)"
            )
        parting = self.parting
        where = f"{parting.name}[{', '.join(map(str, parting.index))}]"
        return (
            f"parts from {self.strategy} at version {parting.version} "
            f"(event {parting.event}, {parting.seconds:.6g} s)\n"
            f"  updates of clients {_listed(parting.clients)}, "
            f"staleness {_listed(parting.staleness)}\n"
            f"  {where}: {parting.before:.6g} before, {parting.ours:.6g} here, "
            f"{parting.theirs:.6g} there: {parting.ratio:.6g} times our step"
        )


def judge(
    scenario: Scenario, begin: Callable[[Weights], Rule], *, tolerance: float = 1e-3
) -> Verdict:
    """Run a scenario, and compare another rule with the scenario's strategy, update by update.

    The clients train from our models, so the two rules see the same updates until they part.
    Training is native, whatever the scenario says, since the other rule may use PyTorch.

    Args:
        scenario: what is run. Its strategy decides when the server aggregates which updates.
        begin: gets the initial model, and returns the other rule.
        tolerance: the largest difference that counts as rounding, as a share of the largest entry
            of the largest step so far.

    Returns:
        The verdict; print it.

    Raises:
        InputError: the strategy has no local models to hand over, or the other rule returned
            something that is not a model.
        ScenarioError: the scenario cannot be run.
    """
    numerics = scenario.numerics.model_copy(update={"bits": "native"})
    scenario = scenario.model_copy(update={"numerics": numerics})
    strategy = strategy_of(scenario)
    if strategy.gradient:
        raise InputError(
            f"strategy {strategy.kind}: its clients send gradients; expected one whose clients "
            "send models"
        )
    check_before_data(scenario, timing_only=False)
    with deterministic(scenario.numerics.device):
        prepared = prepare(scenario)
        court = _Court(prepared, begin, tolerance)
        executor = inline(scenario, prepared)
        learner = learner_of(prepared, executor, _ignored, _heard_by(court))
        world = world_of(scenario, prepared.partition.size, prepared.sent, learner, court.note)
        try:
            world.run()
        except _Parted:
            pass
    return Verdict(strategy.kind, court.versions, court.largest, court.parting)


class _Parted(BaseException):
    """Ends the run where the two rules part."""


class _Court:
    """Hears each aggregation.

    Args:
        prepared: the run.
        begin: as for `judge`.
        tolerance: as for `judge`.
    """

    def __init__(
        self, prepared: Prepared, begin: Callable[[Weights], Rule], tolerance: float
    ) -> None:
        self._named = prepared.layout.named
        self._parameters = prepared.layout.names[: len(prepared.layout.trained)]
        self._samples_of = prepared.partition.size
        self._tolerance = tolerance
        self._rule = begin(self._weights(prepared.initial))
        self._events = 0
        self._since: tuple[int, int] | None = None  # event and instant of the aggregation
        self._largest_step = 0.0
        self.versions = 0
        self.largest = 0.0
        self.parting: Parting | None = None

    def note(self, time_us: int, kind: int, *rest: Any) -> None:
        """Take an event of the log."""
        if kind == AGGREGATED and self._since is None:
            self._since = self._events, time_us
        self._events += 1

    def hear(
        self, version: int, before: Tensor, updates: Sequence[Update], ends: Sequence[Tensor], after: Tensor
    ) -> None:
        """Have the other rule make this version too, and compare.

        Raises:
            _Parted: the two differ.
            InputError: the other rule returned something that is not a model.
        """
