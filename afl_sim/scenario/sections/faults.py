"""What goes wrong: with clients' tasks, with what they send, and with the server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.uses import OncePerClient, ServersOwn, largest, not_nothing
from afl_sim.scenario.section import Number, Section, Whole

Probability = Annotated[Number, Field(ge=0, le=1)]
Wait = Annotated[Number, Field(ge=0, le=9e12)]


def _probable(value: Distribution) -> Distribution:
    if value.constant is not None and value.constant >= 1:
        raise PydanticCustomError("scenario", "every task would crash; expected less than 1")
    if (most := largest(value)) > 1:
        raise PydanticCustomError(
            "scenario",
            f"can be {most:.3g}, which is no probability; expected numbers from 0 to 1, or a law "
            "that stays there, such as beta",
        )
    return value


class UploadLoss(Section):
    """Whole uploads that do not arrive, and a client that tries again."""

    probability: Annotated[Number, Field(ge=0, lt=1)] = Field(
        description="Probability that an upload is lost at its end (no unit)."
    )
    timeout: Wait = Field(
        default=10.0, description="How long the client waits for an answer (seconds)."
    )
    retries: Annotated[Whole, Field(ge=0, le=1000)] = Field(
        default=3, description="How often it tries again; then the task has failed (uploads)."
    )
    backoff: Wait = Field(
        default=1.0,
        description="How long it waits before it tries again, twice as long each time (seconds).",
    )


class Corruption(Section):
    """Updates that arrive with wrong numbers. The schedule does not change."""

    probability: Probability = Field(description="Probability of each update (no unit).")
    kind: Literal["nan", "scale"] = Field(
        default="nan",
        description="nan: every number of the update is NaN; scale: the update (the local model "
        "minus its starting point) is multiplied by factor.",
    )
    factor: Number = Field(default=-10.0, description="For kind: scale (no unit).")


class Duplication(Section):
    """Updates that are delivered twice. The second copy is logged and ignored."""

    probability: Probability = Field(description="Probability of each update (no unit).")
    delay: Distribution = Field(
        default=Distribution(1.0),
        description="How long after the first the second copy arrives (seconds).",
    )


class Faults(Section):
    """What goes wrong with tasks. By default nothing does."""

    crash: Annotated[OncePerClient, AfterValidator(_probable)] = Field(
        default=Distribution(0.0),
        description="Probability that a task fails at a uniformly drawn moment of its "
        "computation, drawn once for each client (no unit).",
    )
    crash_from: Wait = Field(
        default=0.0, description="A task that is sent before this time does not crash (seconds)."
    )
    noticed_after: Wait | None = Field(
        default=None,
        description="How long after it was sent the server notices that a task has crashed, at the "
        "latest, or when it asks the client for what it has done; until then it takes the client "
        "for busy (seconds). null: at once.",
    )
    upload_loss: UploadLoss | None = Field(
        default=None, description="Uploads that are lost; null: none."
    )
    corruption: Corruption | None = Field(
        default=None, description="Updates with wrong numbers; null: none."
    )
    duplication: Duplication | None = Field(
        default=None, description="Updates delivered twice; null: none."
    )


class Pauses(Section):
    """A server that is down now and then: meanwhile it receives and sends nothing."""

    every: Annotated[ServersOwn, AfterValidator(not_nothing)] = Field(
        description="How long it is up, drawn each time (seconds)."
    )
    lasts: ServersOwn = Field(
        description="How long it is down, drawn each time (seconds); 0 is never down."
    )


class Guard(Section):
    """What the server refuses to use. A refused update has weight 0; it counts as used."""

    max_norm: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Updates longer than this (Euclidean norm) are refused; those that are not "
        "finite always are. null: any length.",
    )
