"""Tells what a run will cost on this machine, before it is run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from torch import Tensor

from afl_sim.execution.local.inline import InlineExecutor
from afl_sim.execution.numerics import deterministic
from afl_sim.execution.tasks import Executor, Known, OwnParts, TrainingTask
from afl_sim.learning.data.made_up import made_up
from afl_sim.learning.models.flops import forward_flops
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.bits import effective_bits
from afl_sim.run.executors import inline
from afl_sim.run.identity import identity_of
from afl_sim.run.initial_model import new_model
from afl_sim.run.observer import Observer
from afl_sim.run.preparation import Prepared, prepare
from afl_sim.run.recorder import new_folder
from afl_sim.run.run import run
from afl_sim.run.work import Work
from afl_sim.scenario import Execution, Scenario
from afl_sim.streams import Streams

_BATCH = 2  # samples whose operations are counted


@dataclass(frozen=True)
class Rates:
    """The wall seconds that the parts of a run take on this machine, in one process.

    Attributes:
        preparation: loading the data, dealing it out and building the model, once in a run.
        step: a local step.
        evaluation: an evaluation.
        update: everything else, for each update: its part of the schedule, of the server's step
            and of the log. None if no update was aggregated while it was measured.
    """

    preparation: float
    step: float
    evaluation: float
    update: float | None

    def seconds(self, work: Work, workers: int = 1) -> float:
        """What all of a run takes, if workers share tasks and evaluations without any loss."""
        rest = work.seconds if self.update is None else self.update * work.updates
        shared = self.step * work.steps + self.evaluation * work.evaluations
        return self.preparation + rest + shared / workers


def flops_per_sample(scenario: Scenario) -> float | None:
    """Floating-point operations of a forward pass of a scenario's model; None if unknown.

    A training step has about three times as many for each sample of its batch: the backward pass
    computes gradients by weights and by activations.
    """
    model = new_model(scenario.model.model_dump(by_alias=True), scenario.data, Streams(0))
    inputs, _ = made_up(scenario.data, _BATCH)
    flops = forward_flops(model.eval(), inputs)
    return None if flops is None else flops / _BATCH


def measure(scenario: Scenario, seconds: float) -> Rates:
    """Run the first part of a scenario, and take the time.

    Args:
        scenario: what would be run; here it runs in this process.
        seconds: wall time after which no further task is trained; the first one always is.

    Raises:
        AflSimError: the run fails within that time.
    """
    alone = scenario.model_copy(update={"execution": Execution()})
    began = perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="afl_sim-") as place,
        deterministic(scenario.numerics.device),
        arithmetic_of(effective_bits(scenario).portable),
    ):
        prepared = prepare(alone)
        limit = _Limit(seconds)
        with new_folder(
            Path(place) / "run", prepared, identity_of(alone, False), False, None
        ) as recorder:
            preparation = perf_counter() - began
            observer = Observer(None, limit.is_over)
            finished = run(prepared, recorder, limit.executor, observer, began=perf_counter())
            evaluations = len(recorder.metrics.rows)
    if finished.status == "failed":
        finished.raise_error()
    wall, updates = finished.wall, finished.counts.aggregated
    rest = wall.total - wall.training - wall.evaluation - limit.warming
    return Rates(
        preparation,
        wall.training / limit.steps if limit.steps else 0.0,
        wall.evaluation / evaluations if evaluations else 0.0,
        rest / updates if updates else None,
    )


class _Limit:
    """Ends a run some wall time after its first task has begun to train.

    Args:
        seconds: the wall time.

    Attributes:
        steps: local steps that were done.
        warming: wall seconds of an evaluation that does not count, since the first one is slow.
    """

    def __init__(self, seconds: float) -> None:
        self.steps = 0
        self.warming = 0.0
        self._seconds = seconds
        self._ends: float | None = None

    def executor(self, scenario: Scenario, prepared: Prepared) -> Executor:
        """The executor of the run."""
        limit = self

        class Limited(InlineExecutor):
            """Trains until the time is over."""

            def run(self, task: TrainingTask) -> LocalResult:
                if limit.steps and limit.is_over():  # one task is trained in any case
                    raise KeyboardInterrupt
                result = super().run(task)
                limit.steps += task.steps + task.extra_steps
                return result

            def evaluate(
                self, vector: Tensor, due_us: int, own: OwnParts | None = None
            ) -> Known[Scores]:
                if not limit.warming:
                    super().evaluate(vector, due_us, own)
                    limit.warming, self.evaluation_seconds = self.evaluation_seconds, 0.0
                return super().evaluate(vector, due_us, own)

        return inline(scenario, prepared, Limited)

    def is_over(self) -> bool:
        """Whether the time is over; it begins with the first task."""
        now = perf_counter()
        if self._ends is None:
            self._ends = now + self._seconds
        return now >= self._ends
