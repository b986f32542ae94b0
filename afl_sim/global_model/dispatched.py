"""A task of the world, as the numeric half of a run sees it."""

from __future__ import annotations

from typing import Any, Protocol


class Dispatched(Protocol):
    """A task that was sent to a client.

    Attributes:
        job: the `afl_sim.execution.tasks.Job` that the numeric half has given to the task.
    """

    job: Any

    @property
    def client(self) -> int:
        """The client's index."""

    @property
    def task(self) -> int:
        """Number of tasks that the client was sent before this one."""

    @property
    def base_version(self) -> int:
        """The version that the client downloads."""

    @property
    def steps(self) -> int:
        """Local steps of the task; after a recall, the steps that were done."""

    @property
    def lr_factor(self) -> float:
        """A factor on the client's learning rate."""

    @property
    def extra_steps(self) -> int:
        """Further steps, for what the client keeps for itself; after a recall, those done."""

    @property
    def messages(self) -> int:
        """How often the client compresses the update anew and sends it."""

    @property
    def due_us(self) -> int:
        """When the update is due, in microseconds, as far as is known."""

    @property
    def pollable(self) -> bool:
        """Whether a poll decides how many steps the task has."""

    @property
    def undecided(self) -> bool:
        """Whether something on its way decides what it computes: a poll, or a fresh model."""

    @property
    def fresh_step(self) -> int:
        """After which of its steps the client asked for a fresh model."""

    @property
    def fresh_version(self) -> int:
        """The version that it then merged into its own model; -1 for none."""

    @property
    def arrived(self) -> bool:
        """Whether the update has arrived."""

    @property
    def corruption(self) -> float | None:
        """The factor on the update's numbers; None if they arrive as they were sent."""
