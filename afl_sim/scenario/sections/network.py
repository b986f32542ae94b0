"""How models are sent: each client's own link, and the links of the server that all share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import ClientDuration, SteadyRate
from afl_sim.scenario.section import Count, Number, Section, kind_alone
from afl_sim.scenario.units import RATE


class Link(Section):
    """One direction of a client's own link.

    A transfer takes ``(latency + bytes / bandwidth) * jitter`` seconds, and as long again for each
    time that it is lost.
    """

    latency: ClientDuration = Field(
        default=Distribution(0.0),
        description="Latency of every transfer, drawn once for each client (seconds).",
    )
    bandwidth: Annotated[SteadyRate, In(RATE)] | None = Field(
        default=None,
        description="Bandwidth, drawn once for each client, above 0 (bytes per second); null: the "
        "size of a transfer does not matter.",
    )
    jitter: Distribution = Field(
        default=Distribution(1.0),
        description="A factor on the time of a transfer, drawn for each transfer (no unit).",
    )
    loss: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="Probability that a transfer is lost. It is repeated at once until it "
        "succeeds; every repetition costs time and bytes (no unit).",
    )


class Network(Section):
    """The links between client and server. By default transfers take no time."""

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
    bandwidth: Annotated[Number, Field(gt=0), RATE] | None = Field(
        default=None,
        description="Rate of each transfer (bytes per second); null: transfers take no time.",
    )


class FifoLink(_ServerLink):
    """A few transfers at a time, each with the full bandwidth; the others wait in a queue."""

    kind: Literal["fifo"] = Field(description="First come, first served.")
    bandwidth: Annotated[Number, Field(gt=0), RATE] = Field(
        description="Rate of each transfer in service (bytes per second)."
    )
    slots: Count = Field(default=1, description="Number of transfers in service at a time.")


class SharedLink(_ServerLink):
    """Processor sharing: the bandwidth is divided evenly among the transfers in progress."""

    kind: Literal["shared"] = Field(description="All at a time, each at an equal share.")
    bandwidth: Annotated[Number, Field(gt=0), RATE] = Field(
        description="Rate of all transfers together (bytes per second)."
    )


ServerLink = Annotated[
    Annotated[UncontendedLink | FifoLink | SharedLink, Field(discriminator="kind")],
    BeforeValidator(kind_alone),
]
