"""How long clients compute: the ``compute:`` block of the clients, or of a group of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import Duration, OncePerClient
from afl_sim.scenario.section import Seconds, Section, default_choice, refuse_many
from afl_sim.scenario.sections.modulation import Hours, Slowdowns
from afl_sim.scenario.traces.device_columns import SPEEDS
from afl_sim.scenario.units import PER_SAMPLE, PER_STEP, PER_TASK


class Compute(Section):
    """Duration of local training: a persistent speed for each client, and jitter for each task.

    A task of n samples in m steps takes ``speed * (n, m or 1) * jitter + jitter_seconds``, at most
    ``max_seconds``, and longer while the client is slowed down or the hour is a slow one.
    """

    seconds_per_sample: Annotated[OncePerClient, In(PER_SAMPLE)] | None = Field(
        default=None,
        description="Speed, drawn once for each client (seconds per sample trained). One of "
        "seconds_per_sample, seconds_per_step and seconds_per_task is given; by default "
        "seconds_per_task is 1.",
    )
    seconds_per_step: Annotated[OncePerClient, In(PER_STEP)] | None = Field(
        default=None, description="Speed, drawn once for each client (seconds per local step)."
    )
    seconds_per_task: Annotated[OncePerClient, In(PER_TASK)] | None = Field(
        default=None, description="Speed, drawn once for each client (seconds per task)."
    )
    jitter: Distribution = Field(
        default=Distribution(1.0),
        description="A factor on the compute time, drawn for each task or step (no unit).",
    )
    jitter_seconds: Duration = Field(
        default=Distribution(0.0),
        description="Time added to the compute time, drawn for each task (seconds).",
    )
    jitter_per: Literal["task", "step"] = Field(
        default="task", description="Whether `jitter` is drawn once for a task or for every step."
    )
    max_seconds: Seconds | None = Field(
        default=None,
        description="Upper limit of a task's computation time. A slower client does the same work "
        "in this time (seconds at full speed); null: no limit.",
    )
    slowdowns: Slowdowns | None = Field(
        default=None, description="Slowdowns that come and go; null: none."
    )
    hours: Hours | None = Field(
        default=None, description="A speed that depends on the time of day; null: a constant one."
    )

    default_speed: ClassVar[dict[str, float]] = {"seconds_per_task": 1.0}
    """What holds where a block gives no speed."""

    @model_validator(mode="before")
    @classmethod
    def _default_speed(cls, block: Any) -> Any:
        return default_choice(block, SPEEDS, cls.default_speed)

    @model_validator(mode="after")
    def _one_speed(self) -> Self:
        refuse_many(self, SPEEDS)
        return self

    @property
    def speed(self) -> Distribution:
        """The persistent speed, in seconds per `unit`."""
        found = self.seconds_per_sample or self.seconds_per_step or self.seconds_per_task
        assert found is not None
        return found

    @property
    def unit(self) -> Literal["sample", "step", "task"]:
        """What `speed` counts."""
        if self.seconds_per_sample is not None:
            return "sample"
        return "step" if self.seconds_per_step is not None else "task"
