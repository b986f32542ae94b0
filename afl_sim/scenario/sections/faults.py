"""Faults of clients' tasks, of their updates, and of the server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import (
    Duration,
    OncePerClient,
    ServerDuration,
    ServersOwn,
    largest,
    not_nothing,
)
from afl_sim.scenario.section import Number, Section, Wait, Whole
from afl_sim.scenario.units import DURATION

Probability = Annotated[Number, Field(ge=0, le=1)]


def _probable(value: Distribution) -> Distribution:
    if value.constant is not None and value.constant >= 1:
        raise PydanticCustomError("scenario", "every task would crash; expected less than 1")
    if (most := largest(value)) > 1:
        raise PydanticCustomError(
            "scenario",
            f"can be {most:.3g}, which is not a probability; expected a number from 0 to 1, or a "
            "distribution on that interval, such as beta",
        )
    return value


class UploadLoss(Section):
    """Loss of whole uploads; the client tries again."""

    probability: Annotated[Number, Field(ge=0, lt=1)] = Field(
        description="Probability that an upload is lost at its end (no unit)."
    )
    timeout: Wait = Field(
        default=10.0, description="How long the client waits for an answer (seconds)."
    )
    retries: Annotated[Whole, Field(ge=0, le=1000)] = Field(
        default=3,
        description="How many times it tries again; after that the task has failed (uploads).",
    )
    backoff: Wait = Field(
        default=1.0,
        description="How long it waits before the next attempt; the time doubles with each attempt "
        "(seconds).",
    )


class Corruption(Section):
    """Updates that arrive with corrupted values. The schedule does not change."""

    probability: Probability = Field(description="Probability of each update (no unit).")
    kind: Literal["nan", "scale"] = Field(
        default="nan",
        description="nan: every value of the update becomes NaN; scale: the update (the local "
        "model minus its starting point) is multiplied by factor.",
    )
    factor: Number = Field(default=-10.0, description="For kind: scale (no unit).")


class Duplication(Section):
    """Updates that are delivered twice. The second copy is logged and ignored."""

    probability: Probability = Field(description="Probability of each update (no unit).")
    delay: Duration = Field(
        default=Distribution(1.0),
        description="Time between the arrivals of the two copies (seconds).",
    )


class Faults(Section):
    """Faults of tasks. By default there are none."""

    crash: Annotated[OncePerClient, AfterValidator(_probable)] = Field(
        default=Distribution(0.0),
        description="Probability that a task fails, at a uniformly drawn moment of its "
        "computation; drawn once for each client (no unit).",
    )
    crash_from: Wait = Field(
        default=0.0, description="Tasks that are sent before this time do not crash (seconds)."
    )
    noticed_after: Wait | None = Field(
        default=None,
        description="The longest time after sending a task until the server notices that it has "
        "crashed (seconds). The server notices earlier if it recalls or polls the task; until "
        "then it treats the client as busy. null: at once.",
    )
    upload_loss: UploadLoss | None = Field(
        default=None, description="Loss of whole uploads; null: none."
    )
    corruption: Corruption | None = Field(
        default=None, description="Corrupted updates; null: none."
    )
    duplication: Duplication | None = Field(
        default=None, description="Updates delivered twice; null: none."
    )


class Pauses(Section):
    """A server that is down at times; meanwhile it receives and sends nothing."""

    every: Annotated[ServersOwn, AfterValidator(not_nothing), In(DURATION)] = Field(
        description="How long the server is up, drawn each time (seconds)."
    )
    lasts: ServerDuration = Field(
        description="How long the server is down, drawn each time (seconds); 0: never down."
    )


class Guard(Section):
    """Updates that the server rejects. A rejected update has weight 0, but counts as aggregated."""

    max_norm: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Updates with a larger Euclidean norm are rejected; updates that are not "
        "finite are always rejected. null: no limit.",
    )
