"""How long clients compute: the ``compute:`` block of the clients, or of a group of them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import (
    Duration,
    OncePerClient,
    SteadyRate,
    largest,
)
from afl_sim.scenario.section import LaterSection, Seconds, default_choice, refuse_many
from afl_sim.scenario.sections.modulation import Hours, Slowdowns
from afl_sim.scenario.traces.device_columns import FLOPS, ROOFLINE, SPEEDS
from afl_sim.scenario.units import OPERATIONS, PER_SAMPLE, PER_STEP, PER_TASK, RATE

SPEED_KEYS = (*SPEEDS, FLOPS)
"""The keys of which one says how fast a client computes."""


def _share(value: Distribution) -> Distribution:
    if largest(value) > 1:
        raise PydanticCustomError(
            "scenario",
            "can be above 1; expected a share of flops_per_second, above 0 and at most 1",
        )
    return value


class Compute(LaterSection):
    """Duration of local training: a persistent speed for each client, and jitter for each task.

    A task of n samples in m steps takes ``speed * (n, m or 1) * jitter + jitter_seconds``, at most
    ``max_seconds``, and longer while the client is slowed down or the hour is a slow one.

    With ``flops_per_second`` the model decides: a step takes the larger of ``operations /
    (efficiency * flops_per_second)`` and ``bytes / bytes_per_second``, which is the roofline of
    Williams, Waterman and Patterson (Communications of the ACM 52, 2009). See docs/devices.md.
    """

    _later = (FLOPS, *ROOFLINE)

    seconds_per_sample: Annotated[OncePerClient, In(PER_SAMPLE)] | None = Field(
        default=None,
        description="Speed, drawn once for each client (seconds per sample trained). One of "
        "seconds_per_sample, seconds_per_step, seconds_per_task and flops_per_second is given; by "
        "default seconds_per_task is 1.",
    )
    seconds_per_step: Annotated[OncePerClient, In(PER_STEP)] | None = Field(
        default=None, description="Speed, drawn once for each client (seconds per local step)."
    )
    seconds_per_task: Annotated[OncePerClient, In(PER_TASK)] | None = Field(
        default=None, description="Speed, drawn once for each client (seconds per task)."
    )
    flops_per_second: Annotated[SteadyRate, In(OPERATIONS)] | None = Field(
        default=None,
        description="Speed, drawn once for each client: the most floating-point operations per "
        "second. A step has as many as the model says, so that a larger model takes longer.",
    )
    bytes_per_second: Annotated[SteadyRate, In(RATE)] | None = Field(
        default=None,
        description="The most that a client's memory moves, drawn once for each client (bytes per "
        "second); null: what a step moves does not matter. Only with flops_per_second.",
    )
    efficiency: Annotated[SteadyRate, AfterValidator(_share)] | None = Field(
        default=None,
        description="Share of flops_per_second that training attains, drawn once for each client, "
        "at most 1 (no unit); null: 1. Only with flops_per_second.",
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
        return default_choice(block, SPEED_KEYS, cls.default_speed)

    @model_validator(mode="after")
    def _one_speed(self) -> Self:
        refuse_many(self, SPEED_KEYS)
        if self.default_speed:
            refuse_without_flops(self)
        return self

    @property
    def speed(self) -> Distribution:
        """The persistent speed: seconds per `unit`, or operations per second."""
        found = self.seconds_per_sample or self.seconds_per_step or self.seconds_per_task
        found = found or self.flops_per_second
        assert found is not None
        return found

    @property
    def unit(self) -> Literal["sample", "step", "task", "flop"]:
        """What `speed` counts; of operations it says how many in a second."""
        if self.flops_per_second is not None:
            return "flop"
        if self.seconds_per_sample is not None:
            return "sample"
        return "step" if self.seconds_per_step is not None else "task"


def refuse_without_flops(compute: Compute) -> None:
    """Raise if a block describes a processor further whose operations per second are unknown."""
    for name in ROOFLINE:
        if getattr(compute, name) is not None and compute.flops_per_second is None:
            raise PydanticCustomError("scenario", f"has {name} without {FLOPS}; expected {FLOPS}")
