"""How fast clients compute: a persistent speed for each, and what a task takes in the mean."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from afl_sim.scenario.distributions.draws import draw, drawer
from afl_sim.scenario.sections.compute import Compute as ComputeSpec
from afl_sim.streams import Streams
from afl_sim.world.speed import SPEED
from afl_sim.world.tasks.modulation import Hours, Rate, Slowdowns, product
from afl_sim.world.tasks.profile import mean_of_capped, mean_of_capped_steps
from afl_sim.world.tasks.progress import StepTimes, found_by_polls
from afl_sim.world.tasks.roofline import Roofline, StepCost
from afl_sim.world.tasks.workload import Workload

JITTER = "compute.jitter"
JITTER_SECONDS = "compute.jitter_seconds"
"""The streams of what is drawn for each task."""
_LEVELS_KEPT = 1 << 14  # a bounded cache: memory must not grow with the population


class Speeds:
    """The laws of computation, and what follows from them before a task is sent.

    `afl_sim.world.tasks.compute.Compute` has the durations of tasks.

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

    def level(self, client: int) -> float:
        """The client's persistent speed: seconds for each of its units of work."""
        level = self._levels.get(client)
        return self._draw_level(client) if level is None else level

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
