"""How models travel: each client's own path, and the links of the server that all share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.uses import OncePerClient
from afl_sim.scenario.section import Count, Number, Section


def _never_zero(value: Distribution) -> Distribution:
    if not value.positive:
        raise PydanticCustomError(
            "scenario", "can be 0; expected a number or distribution that is always above 0"
        )
    return value


Rate = Annotated[Distribution, AfterValidator(_never_zero)]
"""A rate or factor that is above 0 with probability one."""

SteadyRate = Annotated[OncePerClient, AfterValidator(_never_zero)]
"""One that is drawn once for each client."""


class Link(Section):
    """One direction of a client's own path to the server.

    A transfer takes ``(latency + bytes / bandwidth) * jitter`` seconds, and as long again for each
    time that it is lost.
    """

    latency: OncePerClient = Field(
        default=Distribution(0.0),
        description="Delay of every transfer, drawn once for each client (seconds).",
    )
    bandwidth: SteadyRate | None = Field(
        default=None,
        description="Rate, drawn once for each client, above 0 (bytes per second); null: the size "
        "of a transfer does not matter.",
    )
    jitter: Distribution = Field(
        default=Distribution(1.0),
        description="A factor on the time of a transfer, drawn for each transfer (no unit).",
    )
    loss: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="Probability that a transfer is lost and repeated at once, again and again "
        "until it gets through; every repetition takes its time and its bytes (no unit).",
    )


class Network(Section):
    """The way to the server and back. By default transfers take no time at all."""

    download: Link = Field(default=Link(), description="From the server to the client.")
    upload: Link = Field(default=Link(), description="From the client to the server.")


class _ServerLink(Section):
    jitter: Distribution = Field(
        default=Distribution(1.0),
        description="A factor on the work of a transfer, drawn for each transfer; `{dist: expon}` "
        "makes service times exponential (no unit).",
    )


class UncontendedLink(_ServerLink):
    """Every transfer has the bandwidth to itself: bytes / bandwidth * jitter seconds."""

    kind: Literal["uncontended"] = Field(
        default="uncontended", description="Transfers do not disturb one another."
    )
    bandwidth: Annotated[Number, Field(gt=0)] | None = Field(
        default=None, description="Rate of each transfer (bytes per second); null: no time at all."
    )


class FifoLink(_ServerLink):
    """A few transfers at a time, each at the full bandwidth; the others wait in line."""

    kind: Literal["fifo"] = Field(description="First come, first served.")
    bandwidth: Annotated[Number, Field(gt=0)] = Field(
        description="Rate of each transfer that is being served (bytes per second)."
    )
    slots: Count = Field(default=1, description="Transfers served at a time.")


class SharedLink(_ServerLink):
    """Processor sharing: the bandwidth is split evenly among the transfers under way."""

    kind: Literal["shared"] = Field(description="All at a time, each at an equal share.")
    bandwidth: Annotated[Number, Field(gt=0)] = Field(
        description="Rate of all transfers together (bytes per second)."
    )


ServerLink = Annotated[UncontendedLink | FifoLink | SharedLink, Field(discriminator="kind")]
