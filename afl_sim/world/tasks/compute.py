"""How long a client computes: a persistent speed per client and jitter per task or step."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.draws import draw, drawer, draws
from afl_sim.scenario.sections.compute import Compute as ComputeSpec
from afl_sim.streams import Streams
from afl_sim.world.microseconds import MICROSECONDS, all_to_microseconds, to_microseconds
from afl_sim.world.speed import SPEED
from afl_sim.world.tasks.modulation import Hours, Rate, Slowdowns, product, stretch, work_done
from afl_sim.world.tasks.profile import mean_of_capped, mean_of_capped_steps
from afl_sim.world.tasks.progress import StepTimes, found_by_polls
from afl_sim.world.tasks.roofline import Roofline, StepCost
from afl_sim.world.tasks.task import Task
from afl_sim.world.tasks.workload import Workload

_KEY = "clients.compute"
JITTER = "compute.jitter"
JITTER_SECONDS = "compute.jitter_seconds"
"""The streams of what is drawn for each task."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_LEVELS_KEPT = 1 << 14  # a bounded cache: memory must not grow with the population


class Compute:
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

    def __init__(
        self,
        spec: ComputeSpec,
        workload: Workload,
        streams: Streams,
        cost: StepCost | None = None,
        gradients: int = 1,
    ) -> None:
        self._workload = workload
        self._gradients = gradients
        self._streams = streams
        self._unit, self._level = spec.unit, spec.speed
        self._roofline = None
        if spec.unit == "flop":
            self._roofline = Roofline(spec, cost, streams)
        self._jitter = spec.jitter
        self._extra = spec.jitter_seconds
        self._per_step = spec.jitter_per == "step"
        self._longest = math.inf if spec.max_seconds is None else spec.max_seconds
        self._jitters = self._jitter.constant != 1
        self._extends = self._extra.constant != 0
        self._free = self._level.constant == 0 and self._extra.constant == 0
        self._slowdowns = Slowdowns(spec.slowdowns, streams) if spec.slowdowns else None
        self._hours = Hours(spec.hours, streams) if spec.hours else None
        # Without slowdowns the rate is periodic, so that many periods can be skipped at once.
        self._periodic = self._hours if self._slowdowns is None else None
        parts: list[Rate] = [
            part.pieces for part in (self._slowdowns, self._hours) if part is not None
        ]
        self._rate = reduce(product, parts) if parts else None
        self.varies = self._rate is not None
        drawn = {JITTER: self._jitter, JITTER_SECONDS: self._extra}
        self.per_task = [
            name
            for name, law in drawn.items()
            if law.constant is None and not (self._per_step and name == JITTER)
        ]
        self.per_client = [] if self._level.constant is not None else [SPEED]
        self._levels: dict[int, float] = {}  # of some clients
        self._repeated: dict[int, tuple[int, float]] = {}  # client -> its task, its first step (s)
        self._jitter_of = drawer(self._jitter, streams, JITTER)
        self._extra_of = drawer(self._extra, streams, JITTER_SECONDS)

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

    def level(self, client: int) -> float:
        """The client's persistent speed: seconds for each of its units of work."""
        level = self._levels.get(client)
        return self._draw_level(client) if level is None else level

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

    def expected_seconds(self, client: int) -> float:
        """The mean duration of the client's tasks, given its persistent speed.

        If the speed varies, this is the mean over many tasks computed back to back: the time at
        rate 1 divided by the rate's long-run mean.
        """
        steps = self._workload.expected_steps(client)
        extra = self._workload.extra_steps(client)
        if self._unit == "task":
            usual = self.level(client) * 1.0
        elif self._unit == "step" or steps == math.inf:
            usual = self.level(client) * (steps + extra)
        else:
            whole = max(1, round(steps))
            samples = self._workload.samples(client, whole) + self._workload.extra_samples(client)
            usual = self._usual(client, whole, extra, samples)
        if self._longest < math.inf:
            seconds = self._mean_of_capped(client, usual)
        else:
            seconds = usual * self._jitter.mean(client) if usual else 0.0
            seconds += self._extra.mean(client)
        for part in (self._slowdowns, self._hours):
            if part is not None:
                seconds /= part.mean(client)
        return seconds

    def expected_step_seconds(self, client: int) -> float:
        """The mean duration of a step, in a task of the scenario's number of steps."""
        steps = self._workload.expected_steps(client)
        return self.expected_seconds(client) / steps if steps else 0.0

    def expected_steps(
        self, client: int, most: int, every: float, chance: float, before: float
    ) -> tuple[float, float]:
        """The mean number of steps that a poll finds done, and the chance that it finds any.

        Args:
            client: the client's index.
            most: the steps after which the client waits.
            every: seconds between two polls.
            chance: the probability that a poll reaches the client.
            before: seconds from the client's last poll until it begins to compute.
        """
        steps = self._workload.task_steps(client, 0, steps=most)
        if not steps:
            return 0.0, 0.0
        step = self._usual(client, steps, 0, self._workload.samples(client, steps)) / steps
        laws = self._jitter, self._per_step, self._extra, self._longest
        rate = math.prod(p.mean(client) for p in (self._slowdowns, self._hours) if p is not None)
        found = [
            found_by_polls(before + ends / rate, every, chance)
            for ends in StepTimes(client, step, steps, *laws).ends(self._streams)
        ]
        mean = np.mean(found, axis=0)
        return float(mean.sum()), float(mean[0])

    def usual_seconds(self, client: int) -> float:
        """The duration at full speed of the client's first task with the median of each jitter."""
        steps, samples = self._workload.amount(client, 0)
        usual = self._usual(client, steps, self._workload.extra_steps(client), samples)
        seconds = usual * self._jitter.quantile(0.5, client)
        return min(seconds + self._extra.quantile(0.5, client), self._longest)

    def _mean_of_capped(self, client: int, usual: float) -> float:
        steps = 1.0
        if self._per_step:
            steps = self._workload.expected_steps(client) + self._workload.extra_steps(client)
        laws = self._jitter, self._extra, client, self._longest
        if usual == math.inf:
            return self._longest
        if 1 < steps < math.inf and self._jitters:
            count = round(steps)
            return mean_of_capped_steps(usual / count, count, *laws, self._streams)
        return mean_of_capped(usual, *laws)

    def _draw_level(self, client: int) -> float:
        if len(self._levels) >= _LEVELS_KEPT:
            self._levels.clear()
        level = draw(self._level, self._streams, SPEED, client)
        if self._unit in ("sample", "step"):
            level *= self._gradients
        self._levels[client] = level
        return level

    def _usual(self, client: int, steps: int, extra: int, samples: int) -> float:
        """Seconds without jitter.

        Args:
            client: the client's index.
            steps: local steps of a task.
            extra: further steps, for what the client keeps.
            samples: processed in all of them.
        """
        if self._roofline is not None:
            seconds = self._roofline.steps(client, steps, self._workload) * self._gradients
            return seconds + self._roofline.steps(client, extra, self._workload)
        if self._unit == "sample":
            return self.level(client) * samples
        return self.level(client) * (steps + extra if self._unit == "step" else 1.0)

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
