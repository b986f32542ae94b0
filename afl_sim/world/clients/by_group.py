"""Models of computation, links and faults that differ between groups of clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from afl_sim.world.clients.durations import Computing, Path
from afl_sim.world.tasks.faults import Faults
from afl_sim.world.tasks.task import Task

PartOf = Callable[[int], int]
"""The index of a client's part."""


class ComputeByGroup:
    """How long clients compute, where each group has a model of its own.

    Args:
        parts: the models.
        part_of: which of them is a client's.
    """

    def __init__(self, parts: Sequence[Computing], part_of: PartOf) -> None:
        self._parts = parts
        self._part_of = part_of

    def varies(self, client: int) -> bool:
        """Whether a duration depends on when the client begins."""
        return self._of(client).varies(client)

    def microseconds(self, task: Task, begin_us: int) -> int:
        """How long the client computes on this task."""
        return self._of(task.client).microseconds(task, begin_us)

    def work(self, task: Task, elapsed_us: int) -> float:
        """The work done ``elapsed_us`` after the computation began, in microseconds at rate 1."""
        return self._of(task.client).work(task, elapsed_us)

    def steps_done(self, task: Task, elapsed_us: int) -> int:
        """Local steps completed ``elapsed_us`` microseconds after the computation began."""
        return self._of(task.client).steps_done(task, elapsed_us)

    def expected_seconds(self, client: int) -> float:
        """The mean duration of the client's tasks."""
        return self._of(client).expected_seconds(client)

    def usual_seconds(self, client: int) -> float:
        """The duration of the client's first task with the median of each jitter."""
        return self._of(client).usual_seconds(client)

    def repeat_step(self, task: Task, done: int) -> None:
        """The client's next task begins with the step that was broken off after ``done`` steps."""
        self._of(task.client).repeat_step(task, done)

    def expected_steps(
        self, client: int, most: int, every: float, chance: float, before: float
    ) -> tuple[float, float]:
        """The mean number of steps that a poll finds done, and the chance that it finds any."""
        return self._of(client).expected_steps(client, most, every, chance, before)

    def _of(self, client: int) -> Computing:
        return self._parts[self._part_of(client)]


class LinkByGroup:
    """The clients' own links in one direction, where each group has links of its own.

    Args:
        parts: the links.
        part_of: which of them is a client's.
    """

    def __init__(self, parts: Sequence[Path], part_of: PartOf) -> None:
        self._parts = parts
        self._part_of = part_of

    def transfer(self, client: int, number: int, size: int) -> tuple[int, int]:
        """Microseconds and bytes of the transfer of ``size`` bytes for a client's task."""
        return self._of(client).transfer(client, number, size)

    def expected_seconds(self, client: int, size: int) -> float:
        """The mean time of a transfer of ``size`` bytes, repetitions included."""
        return self._of(client).expected_seconds(client, size)

    def usual_seconds(self, client: int, size: int) -> float:
        """The time of a transfer of ``size`` bytes with the median of the jitter."""
        return self._of(client).usual_seconds(client, size)

    def _of(self, client: int) -> Path:
        return self._parts[self._part_of(client)]


class FaultsByGroup:
    """The faults of tasks, where each group has faults of its own.

    Args:
        parts: the faults.
        part_of: which of them are a client's.
    """

    def __init__(self, parts: Sequence[Faults], part_of: PartOf) -> None:
        self._parts = parts
        self._part_of = part_of
        self.loses_uploads = any(part.loses_uploads for part in parts)

    def of(self, client: int) -> Faults:
        """The faults of a client's tasks."""
        return self._parts[self._part_of(client)]
