"""What the second stage of a run hands to the third: all that is known once the clock stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from afl_sim.global_model.divergence import Divergence
from afl_sim.lazy import Tensor
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.metrics import Better
from afl_sim.world.account.costs import Costs
from afl_sim.world.server.statistics import Counts

Status = Literal["complete", "diverged", "interrupted", "failed"]


@dataclass(frozen=True)
class WallTime:
    """Wall time.

    Attributes:
        total: since the run was asked for.
        training, evaluation: spent on tasks, wherever they ran.
        waiting: for which the clock stood still until a result was there.
    """

    total: float = 0.0
    training: float = 0.0
    evaluation: float = 0.0
    waiting: float = 0.0

    def __add__(self, other: WallTime) -> WallTime:
        return WallTime(
            self.total + other.total,
            self.training + other.training,
            self.evaluation + other.evaluation,
            self.waiting + other.waiting,
        )

    def longer_by(self, seconds: float) -> WallTime:
        """The same with so much more in total."""
        return replace(self, total=self.total + seconds)


@dataclass(frozen=True)
class Trained:
    """The numbers of a run that trains.

    Attributes:
        vector: shape (P + B,): the last global model.
        rejected: updates that the server refused.
        divergence: where the numbers stopped being finite; None if they did not.
        kept: what clients keep for themselves, shape (Q,), by client; those without an update that
            has arrived are left out. None if they keep nothing, or the run did not come to its end.
    """

    vector: Tensor
    rejected: int
    divergence: Divergence | None
    kept: Mapping[int, Tensor] | None = None


@dataclass(frozen=True)
class Finished:
    """A run whose clock has stopped, whether the run came to its end or not.

    Attributes:
        scenario: what was run.
        status: how it ended.
        reason: why it diverged or failed, or why it made no more versions; else None.
        error: what is to be raised once the run is recorded; None if it is complete or diverged.
        stopped_by: the stop rule that was reached, or "none".
        time_us: virtual time in microseconds.
        versions: versions that the server made.
        counts: what became of the tasks.
        in_flight_us: client-microseconds spent on tasks that were still in flight.
        links: the use of each contended link of the server, by name.
        trained: the numbers; None if nothing was trained.
        wall: wall time until now.
        ended: the value of `perf_counter` now.
        metrics: the metrics of evaluations, the main one first, and which of two values is better.
            Empty if nothing was trained.
        targets: by metric, the values for which the time to reach them is reported.
        costs: what the run used and cost; None if that was not counted.
        costs_at: the same by (time_us, version) of each evaluation until then.
    """

    scenario: Scenario
    status: Status
    reason: str | None
    error: BaseException | None
    stopped_by: str
    time_us: int
    versions: int
    counts: Counts
    in_flight_us: int
    links: Mapping[str, Mapping[str, float | int | None]]
    trained: Trained | None
    wall: WallTime
    ended: float
    metrics: Mapping[str, Better]
    targets: Mapping[str, Sequence[float]]
    costs: Costs | None
    costs_at: Mapping[tuple[int, int], Costs]

    def raise_error(self) -> None:
        """Raise the error that ended the run, if one did."""
        try:
            if self.error is not None:
                raise self.error
        finally:
            del self  # else the error's traceback would hold it, and it the error
