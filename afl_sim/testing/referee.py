"""Judges an aggregation rule from elsewhere, beside a strategy of this package.

The strategy runs a scenario with real training. At each of its aggregations the other rule gets the
same updates and makes its own next model. The referee tells the first aggregation after which the
two models differ, and the number in which they do so most.

    from afl_sim import load_scenario
    from afl_sim.testing import judge

    def begin(weights):
        def mean(updates):
            total = sum(update.num_samples for update in updates)
            shares = [update.num_samples / total for update in updates]
            return {
                name: sum(share * update.weights[name] for share, update in zip(shares, updates))
                for name in weights
            }
        return mean

    print(judge(load_scenario("scenario.yaml"), begin))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from afl_sim.errors import InputError
from afl_sim.execution.numerics import deterministic
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.global_model.server_model import ServerModel
from afl_sim.run.building import world_of
from afl_sim.run.checks import check_before_data
from afl_sim.run.executors import inline
from afl_sim.run.kinds import strategy_of
from afl_sim.run.preparation import Prepared, prepare
from afl_sim.run.training import learner_of
from afl_sim.scenario import Scenario
from afl_sim.strategies.base import Update
from afl_sim.testing.verdict import Contribution, Parting, Verdict, Weights
from afl_sim.world.microseconds import MICROSECONDS

Rule = Callable[[Sequence[Contribution]], Mapping[str, Any]]
"""Makes the next global model of updates in order of arrival; it keeps its own model and state."""


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
        learner = learner_of(prepared, executor, _ignored, _Heard)
        learner.open(court)
        world = world_of(scenario, prepared.partition.size, prepared.sent, learner, court.note)
        court.now_us = lambda: world.time_us
        with suppress(_Parted):
            world.run()
    return Verdict(strategy.kind, court.versions, court.largest, court.parting)


class _Parted(BaseException):
    """Ends the run where the two rules part."""


class _Court:
    """Hears each aggregation.

    Args:
        prepared: the run.
        begin, tolerance: as for `judge`.

    Attributes:
        now_us: gives the instant in virtual time.
        version: the version that is being made.
        versions, largest, parting: as in the verdict.
    """

    now_us: Callable[[], int]

    def __init__(
        self, prepared: Prepared, begin: Callable[[Weights], Rule], tolerance: float
    ) -> None:
        self._layout = prepared.layout
        self._parameters = prepared.layout.names[: len(prepared.layout.trained)]
        self._samples_of = prepared.partition.size
        self._tolerance = tolerance
        self._rule = begin(self._weights(prepared.initial))
        self._events = 0
        self._step = 0.0  # the largest entry of a step so far
        self.version = 0
        self.versions = 0
        self.largest = 0.0
        self.parting: Parting | None = None

    def note(self, *event: Any) -> None:
        """Count an event of the log."""
        self._events += 1

    def hear(
        self, updates: Sequence[Update], ends: Sequence[Tensor], before: Tensor, after: Tensor
    ) -> None:
        """Have the other rule make this version too, and compare.

        Args:
            updates: in order of arrival.
            ends: the local models, each of shape (P + B,) or longer.
            before, after: shape (P + B,): our models.

        Raises:
            _Parted: the two differ.
            InputError: the other rule returned something that is not a model.
        """
        given = [
            Contribution(
                self._weights(end), self._samples_of(each.client), each.staleness, each.client
            )
            for each, end in zip(updates, ends, strict=True)
        ]
        returned = self._rule(given)
        earlier, ours = self._weights(before), self._weights(after)
        theirs = {name: self._returned(returned, name, ours[name]) for name in self._parameters}
        self._step = max(self._step, *(_largest(ours[n] - earlier[n]) for n in theirs))
        apart = {name: _apart(ours[name], theirs[name]) for name in theirs}
        name = max(apart, key=lambda each: _largest(apart[each]))
        largest = _largest(apart[name])
        self.versions += 1
        if self._step:
            self.largest = max(self.largest, largest / self._step)
        if largest <= self._tolerance * self._step:
            return
        index = np.unravel_index(int(apart[name].argmax()), apart[name].shape)
        self.parting = Parting(
            self._events,
            self.now_us() / MICROSECONDS,
            self.version,
            tuple(each.client for each in given),
            tuple(each.staleness for each in given),
            name,
            tuple(int(part) for part in index),
            float(earlier[name][index]),
            float(ours[name][index]),
            float(theirs[name][index]),
        )
        raise _Parted

    def _weights(self, vector: Tensor) -> Weights:
        """Copies, so that the other rule may change them in place."""
        named = self._layout.named(vector[: self._layout.size])
        return {name: part.numpy().copy() for name, part in named.items()}

    def _returned(self, model: Any, name: str, ours: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not isinstance(model, Mapping) or name not in model:
            what = "a model" if isinstance(model, Mapping) else f"a {type(model).__name__}"
            raise InputError(
                f"the other rule returned {what} without {name!r}; expected a mapping from the "
                "names of all parameters to arrays"
            )
        found = np.asarray(model[name], dtype=np.float64)
        if found.shape != ours.shape:
            raise InputError(
                f"the other rule returned {name!r} with shape {found.shape}; expected {ours.shape}"
            )
        return found


class _Heard(TrainingLearner):
    """A learner whose aggregations a court hears."""

    _court: _Court

    def open(self, court: _Court) -> None:
        """Have a court hear what follows."""
        self._court = court
        self._model: Any = _Witness(self._model, court)

    def aggregate(self, updates: Sequence[Any], version: int, context: Mapping[str, Any]) -> None:
        self._court.version = version
        super().aggregate(updates, version, context)


class _Witness:
    """The server's model, as it is; a court hears of each new one."""

    def __init__(self, model: ServerModel, court: _Court) -> None:
        self._model = model
        self._court = court

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def aggregate(
        self, updates: Sequence[Update], vectors: Sequence[Tensor], context: Mapping[str, Any]
    ) -> bool:
        before = self._model.vector
        finite = self._model.aggregate(updates, vectors, context)
        if finite and updates:
            self._court.hear(updates, vectors, before, self._model.vector)
        return finite


def _ignored(*evaluation: Any) -> None:
    """Evaluations are of no use here."""


def _apart(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Absolute differences; infinite where one is not a number."""
    apart: npt.NDArray[Any] = np.abs(ours - theirs)
    apart[np.isnan(apart)] = np.inf
    return apart


def _largest(array: npt.NDArray[Any]) -> float:
    """The largest absolute value."""
    return float(np.abs(array).max()) if array.size else 0.0
