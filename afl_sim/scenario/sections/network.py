"""How models are sent: each client's own link, and the links of the server that all share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import ClientDuration, SteadyRate
from afl_sim.scenario.section import (
    Count,
    LaterSection,
    Number,
    Section,
    kind_alone,
    refuse_many,
)
from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
from afl_sim.scenario.units import RATE

BANDWIDTHS: Final = ("bandwidth", "bandwidth_trace")
"""The keys that say how large the bandwidth of a client's link is: a link has at most one."""


class Link(LaterSection):
    """One direction of a client's own link.

    A transfer takes ``(latency + bytes / bandwidth) * jitter`` seconds, and as long again for each
    time that it is lost. If the bandwidth follows a trace, each attempt takes ``latency * jitter``
    seconds and then as long as the link needs to carry ``bytes * jitter``.
    """

    _later: ClassVar[tuple[str, ...]] = ("bandwidth_trace",)

    latency: ClientDuration = Field(
        default=Distribution(0.0),
        description="Latency of every transfer, drawn once for each client (seconds).",
    )
    bandwidth: Annotated[SteadyRate, In(RATE)] | None = Field(
        default=None,
        description="Bandwidth, drawn once for each client, above 0 (bytes per second); null: the "
        "size of a transfer does not matter.",
    )
    bandwidth_trace: BandwidthTrace | None = Field(
        default=None,
        description="Bandwidth that changes in time, from a file, in place of `bandwidth`; null: "
        "it is constant.",
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

    @model_validator(mode="after")
    def _one_bandwidth(self) -> Self:
        refuse_many(self, BANDWIDTHS)
        return self


class Network(Section):
    """The links between client and server. By default transfers take no time."""

    download: Link = Field(default=Link(), description="From the server to the client.")
    upload: Link = Field(default=Link(), description="From the client to the server.")


class _ServerLink(LaterSection):
    _later: ClassVar[tuple[str, ...]] = ("bandwidth_trace",)

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


class _ContendedLink(_ServerLink):
    bandwidth_trace: BandwidthTrace | None = Field(
        default=None,
        description="Bandwidth that changes in time, from a file, in place of `bandwidth`; null: "
        "it is constant.",
    )

    @model_validator(mode="after")
    def _one_bandwidth(self) -> Self:
        refuse_many(self, BANDWIDTHS)
        if not any(getattr(self, name) is not None for name in BANDWIDTHS):
            raise PydanticCustomError(
                "scenario", "does not say its bandwidth; expected bandwidth or bandwidth_trace"
            )
        if self.bandwidth_trace is not None and self.bandwidth_trace.by == "client":
            raise PydanticCustomError(
                "scenario", "has the links of clients; expected by: sample for the server's link"
            )
        return self


class FifoLink(_ContendedLink):
    """A few transfers at a time, each with the full bandwidth; the others wait in a queue."""

    kind: Literal["fifo"] = Field(description="First come, first served.")
    bandwidth: Annotated[Number, Field(gt=0), RATE] | None = Field(
        default=None,
        description="Rate of each transfer in service (bytes per second). Either this or "
        "`bandwidth_trace` is given.",
    )
    slots: Count = Field(default=1, description="Number of transfers in service at a time.")


class SharedLink(_ContendedLink):
    """Processor sharing: the bandwidth is divided evenly among the transfers in progress."""

    kind: Literal["shared"] = Field(description="All at a time, each at an equal share.")
    bandwidth: Annotated[Number, Field(gt=0), RATE] | None = Field(
        default=None,
        description="Rate of all transfers together (bytes per second). Either this or "
        "`bandwidth_trace` is given.",
    )


ServerLink = Annotated[
    Annotated[UncontendedLink | FifoLink | SharedLink, Field(discriminator="kind")],
    BeforeValidator(kind_alone),
]
