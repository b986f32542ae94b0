"""How long a client computes: a persistent speed per client and jitter per task or step."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.draws import draws
from afl_sim.world.microseconds import MICROSECONDS, all_to_microseconds, to_microseconds
from afl_sim.world.speed import SPEED
from afl_sim.world.tasks.modulation import stretch, work_done
from afl_sim.world.tasks.speeds import JITTER, JITTER_SECONDS, Speeds
from afl_sim.world.tasks.task import Task

_KEY = "clients.compute"
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Compute(Speeds):
    """Durations of local training, in virtual time.

    A task takes ``level * amount * jitter + jitter_seconds`` seconds, but at most a limit.
    The level is drawn once per client. The amount is the number of samples, the number of steps, or
    1, depending on the unit of the level. If the unit is an operation, a `Roofline` gives what
    stands for their product. The jitter is drawn per task or per step. If the client's speed varies
    over time (see `afl_sim.world.tasks.modulation`), this is the time at rate 1.

    Args:
        spec: the scenario's settings.
        workload: how much work a task is.
        streams: the run's random streams.
        cost: of a local step; needed only where the settings are operations per second.
        gradients: how many gradients a local step computes, one after the other.

    Attributes:
        varies: whether a duration depends on when the computation begins.
        per_task, per_client: the streams of what is drawn for each task and for each client.
    """

    def microseconds(self, task: Task, begin_us: int) -> int:
        """How long the client computes on this task; 0 means that it takes no time at all.

        Args:
            task: the task.
            begin_us: when the computation begins, or goes on after `Task.worked_us` of work.
        """
        if self._free or not task.steps:
            return 0
        uneven = self._per_step or self._repeated
        seconds = self._seconds(task) if uneven else self._seconds_of_even_steps(task)
        total = to_microseconds(seconds, _KEY)  # refuses a number that is not a duration
        if self._rate is None:
            return total
        left = max(0.0, seconds * MICROSECONDS - task.worked_us)
        (end,) = self._stretch(task.client, begin_us, [left])
        return round(end) or 1

    def steps_us(self, task: Task, steps: int, begin_us: int) -> int:
        """How long until the first ``steps`` steps of a task are done, at least 1 of all its steps.

        It is the first instant from which on `steps_done` counts so many.

        Args:
            task: the task; its ``compute_us`` is known.
            steps: of all kinds.
            begin_us: when the computation begins, or goes on after `Task.worked_us` of work.
        """
        if self._free or not task.steps:
            return 0
        if not (self._per_step or self._rate is not None or self._begins_anew(task)):
            return -(-task.compute_us * steps // (task.steps + task.extra_steps))
        end = float(self._step_ends(task)[steps - 1]) * MICROSECONDS
        if self._rate is None:
            return round(end)
        (end,) = self._stretch(task.client, begin_us, [max(0.0, end - task.worked_us)])
        return round(end)

    @property
    def in_blocks(self) -> bool:
        """Whether `all_microseconds` can be asked."""
        return not self._per_step and self._roofline is None and self._rate is None

    def usual_of_all(self, clients: Ints, steps: Ints, samples: Ints) -> Floats:
        """Seconds without jitter of a task of many clients, by client, steps and samples.

        The tasks have no further steps. Of a task without steps it is no number.
        """
        if self._free:
            return np.zeros(len(clients))
        level = draws(self._level, self._streams, SPEED, clients)
        if self._unit != "task":
            level = level * self._gradients * (samples if self._unit == "sample" else steps)
        return np.where(steps == 0, math.nan, level)

    def all_microseconds(self, clients: Ints, numbers: Ints, usual: Floats) -> Ints:
        """`microseconds` of many tasks at once; see `all_to_microseconds` for -1.

        No task repeats a step of an earlier one.

        Args:
            clients, numbers: of the tasks.
            usual: of `usual_of_all`.
        """
        if self._free:
            return np.zeros(len(clients), dtype=np.int64)
        seconds = usual
        if self._jitters:
            seconds = seconds * draws(self._jitter, self._streams, JITTER, clients, numbers)
        if self._extends:
            extra = draws(self._extra, self._streams, JITTER_SECONDS, clients, numbers)
            seconds = seconds + extra
        return all_to_microseconds(np.where(seconds > self._longest, self._longest, seconds))

    def work(self, task: Task, elapsed_us: int) -> float:
        """The work done ``elapsed_us`` after the computation began, in microseconds at rate 1.

        Only for clients whose speed varies.
        """
        assert self._rate is not None
        client, begin_us = task.client, task.computing_since_us
        if self._periodic is not None:
            return self._periodic.work_done(client, begin_us, elapsed_us)
        return work_done(self._rate(client, begin_us), begin_us, elapsed_us)

    def before_steps_us(self, task: Task) -> int:
        """How much of the planned time of a task is ``jitter_seconds``, in microseconds."""
        if self._free or not task.steps or not self._extends:
            return 0
        extra = self._extra_of(task.client, task.number) * MICROSECONDS
        return min(round(extra), task.compute_us)

    def _stretch(self, client: int, begin_us: int, work_us: list[float]) -> list[float]:
        """When each amount of work is done, in microseconds after the computation begins."""
        assert self._rate is not None
        if self._periodic is not None:
            return self._periodic.stretch(client, begin_us, work_us)
        return stretch(self._rate(client, begin_us), begin_us, work_us)

    def repeat_step(self, task: Task, done: int) -> None:
        """The step after ``done`` steps is broken off; the client's next task begins with it."""
        if self._free or done >= task.steps:
            return
        ends = self._step_ends(task)
        seconds = float(ends[done] - (ends[done - 1] if done else 0.0))
        self._repeated[task.client] = task.number + 1, seconds

    def _begins_anew(self, task: Task) -> bool:
        """Whether the task's first step was drawn for an earlier task, which was broken off."""
        if not self._repeated:
            return False
        return self._repeated.get(task.client, (-1, 0.0))[0] == task.number

    def _seconds(self, task: Task) -> float:
        """How long the task takes at rate 1."""
        if self._per_step or self._begins_anew(task):
            return float(self._step_ends(task)[-1])
        return self._seconds_of_even_steps(task)

    def _seconds_of_even_steps(self, task: Task) -> float:
        client, number = task.client, task.number
        if self._unit == "sample":
            seconds = self.level(client) * task.samples
        else:
            seconds = self._usual(client, task.steps, task.extra_steps, task.samples)
        if self._jitters:
            seconds *= self._jitter_of(client, number)
        if self._extends:
            seconds += self._extra_of(client, number)
        return self._longest if seconds > self._longest else seconds

    def steps_done(self, task: Task, elapsed_us: int) -> int:
        """Steps completed ``elapsed_us`` microseconds after the computation began, of all kinds."""
        begin_us = task.computing_since_us
        uneven = self._per_step or self._rate is not None or self._begins_anew(task)
        if uneven and not self._free and task.steps:
            ends = self._step_ends(task) * MICROSECONDS
            if self._rate is not None:
                left = ends[ends > task.worked_us] - task.worked_us
                before = len(ends) - len(left)
                ends = np.array(self._stretch(task.client, begin_us, left.tolist()))
                return before + int(np.searchsorted(np.rint(ends), elapsed_us, "right"))
            return int(np.searchsorted(np.rint(ends), elapsed_us, "right"))
        total = task.compute_us
        if task.until_polled:
            total = self.microseconds(task, begin_us)
        steps = task.steps + task.extra_steps
        return steps if elapsed_us >= total else steps * elapsed_us // total

    def _step_ends(self, task: Task) -> npt.NDArray[np.float64]:
        """When each step ends at rate 1, in seconds after the computation began."""
        ends = self._drawn_step_ends(task)
        if self._begins_anew(task):
            _, first = self._repeated[task.client]
            ends = ends + (first - ends[0])
        return ends

    def _drawn_step_ends(self, task: Task) -> npt.NDArray[np.float64]:
        client, number = task.client, task.number
        steps = task.steps + task.extra_steps
        if not self._per_step:
            return self._seconds_of_even_steps(task) * np.arange(1, steps + 1) / steps
        mean_step = self._usual(client, task.steps, task.extra_steps, task.samples) / steps
        uniform = self._streams.generator(JITTER, client, number).random(steps)
        ends = np.cumsum(mean_step * self._jitter.quantiles(uniform, client, number))
        if self._extends:
            ends += self._extra_of(client, number)
        return ends if ends[-1] <= self._longest else ends * (self._longest / ends[-1])
