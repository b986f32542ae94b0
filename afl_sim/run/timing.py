"""The numeric half of a run as its clock uses it, and the one of a run without numbers."""

from __future__ import annotations

from time import perf_counter
from typing import Protocol

from afl_sim.global_model.null import NullLearner
from afl_sim.run.finished import Trained, WallTime
from afl_sim.scenario import Scenario
from afl_sim.world.learner import Learner


class NumericHalf(Protocol):
    """The numeric half of a run, as its clock uses it.

    Attributes:
        scenario: the scenario whose clock is turned.
        learner: answers the world's calls.
        trains: whether there are numbers.
        replaying: whether the clock is still on its way to the checkpoint that the run goes on
            from.
    """

    trains: bool

    @property
    def scenario(self) -> Scenario: ...
    @property
    def learner(self) -> Learner: ...
    @property
    def replaying(self) -> bool: ...

    def replays(self, version: int) -> bool:
        """Whether this version was recorded before, so that nothing is due for it."""

    def save_checkpoint(self, version: int, stop: bool) -> None:
        """Write a checkpoint, if one is due or the run is about to stop."""

    def check_over(self) -> None:
        """Refuse an end that cannot be this run's."""

    def settle(self) -> None:
        """Report the evaluation that was under way when the run broke off, if that is possible."""

    def trained(self, whole: bool) -> Trained | None:
        """The numbers, if there are any.

        Args:
            whole: whether the run has come to its end, so that what clients keep is there, too.
        """

    def wall(self) -> WallTime:
        """The time that the run has taken until now, with what it took before it was resumed."""


class TimingOnly:
    """The half of a run without training: there are no numbers.

    Args:
        scenario: the run's; stop rules that read results are left out.
        began: the value of `perf_counter` from which wall time counts.
    """

    trains = False
    replaying = False

    def __init__(self, scenario: Scenario, began: float) -> None:
        self.scenario = scenario.model_copy(update={"stop": scenario.stop.untrained})
        self.learner = NullLearner()
        self._began = began

    def replays(self, version: int) -> bool:
        """Nothing was recorded before: without training, a run starts again from the beginning."""
        return False

    def save_checkpoint(self, version: int, stop: bool) -> None:
        """There are no numbers to save."""

    def check_over(self) -> None:
        """Every end is this run's."""

    def settle(self) -> None:
        """No evaluation is under way."""

    def trained(self, whole: bool) -> None:
        """There are no numbers."""

    def wall(self) -> WallTime:
        """The total alone, since nothing was trained."""
        return WallTime(perf_counter() - self._began)
