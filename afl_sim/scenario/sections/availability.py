"""When clients are available, and what happens to the work of a client that leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.uses import (
    ClientDuration,
    Duration,
    Lasting,
    OncePerClient,
)
from afl_sim.scenario.section import Number, Seconds, Section, Wait, kind_alone
from afl_sim.scenario.traces.intervals import Intervals, read_intervals
from afl_sim.scenario.traces.trace_block import Factor, NumberedClients, TraceBlock
from afl_sim.scenario.units import DURATION


class _Availability(Section):
    joins: ClientDuration = Field(
        default=Distribution(0.0),
        description="Virtual time at which a client joins, drawn once for each (seconds).",
    )
    leaves: ClientDuration | None = Field(
        default=None,
        description="Virtual time at which a client leaves for good, drawn once for each "
        "(seconds); null: never.",
    )
    on_leave: Literal["lost", "paused", "partial", "finish"] = Field(
        default="lost",
        description="What happens to the task of a client that leaves. lost: the task fails; "
        "paused: it continues when the client returns; partial: the client sends the steps that "
        "it has done (a task without a step fails, a task that waits for a poll is paused); "
        "finish: the client stays until the task is finished.",
    )


class AlwaysAvailable(_Availability):
    """Clients that are available from the time when they join until they leave for good."""

    kind: Literal["always"] = Field(default="always", description="The kind of availability.")


class OnOff(_Availability):
    """Each client is alternately available and away: an alternating renewal process."""

    kind: Literal["on_off"] = Field(description="The kind of availability.")
    on: Lasting = Field(
        description="How long a client stays, drawn each time (seconds); `{sequence: [...]}` "
        "gives its stays in order."
    )
    off: Duration = Field(
        description="How long a client is away, drawn each time (seconds); 0: never away."
    )
    warm_up: Wait = Field(
        default=0.0,
        description="How long the process has run before the run begins (seconds). All clients are "
        "available at its start. With 0 they are therefore available at the start of the run; "
        "after a long time the process is stationary.",
    )


class Diurnal(_Availability):
    """Clients are available for a share of every day, at hours that depend on their time zone."""

    kind: Literal["diurnal"] = Field(description="The kind of availability.")
    period: Seconds = Field(default=86_400.0, description="Length of a day (seconds).")
    share: Annotated[Number, Field(gt=0, le=1)] = Field(
        description="Share of the day in which a client is available (no unit)."
    )
    phase: OncePerClient = Field(
        default=Distribution({"dist": "uniform"}),
        description="When a client's time begins, as a share of a day, drawn once for each client "
        "(its time zone, no unit).",
    )


class Bernoulli(_Availability):
    """In every period each client is available independently, with a given probability."""

    kind: Literal["bernoulli"] = Field(description="The kind of availability.")
    probability: OncePerClient = Field(
        description="Probability that a client is available in a period, drawn once for each "
        "client (no unit); 1 or more: always."
    )
    every_seconds: Annotated[Number, Field(ge=1e-3, le=9e12), DURATION] = Field(
        default=1.0, description="Length of a period (seconds)."
    )


class TracedAvailability(TraceBlock, _Availability):
    """Measured intervals from a file."""

    kind: Literal["trace"] = Field(description="The kind of availability.")
    trace: str = Field(
        description="A CSV or Parquet file with the columns client, start, end (seconds): the "
        "client is available from start up to, but not including, end. The clients of the file "
        "are numbered from 0, and each has a row; client i of the run has the intervals of "
        "client i modulo their number."
    )
    repeat: Seconds | None = Field(
        default=None,
        description="The intervals are repeated after this time (seconds); null: after its last "
        "interval a client is gone.",
    )
    factor: Factor = Field(
        default=1.0,
        description="Factor that converts start and end to seconds: 0.001 if they are in "
        "milliseconds (seconds per unit of the file).",
    )
    number_clients: NumberedClients = None
    sha256: str | None = Field(
        default=None,
        description="SHA-256 of the file; filled in when the file is read, and "
        "checked from then on.",
    )

    def _load(self, path: Path) -> tuple[Intervals, str]:
        return read_intervals(path, self.repeat, self.factor, self.number_clients)

    @property
    def intervals(self) -> Intervals:
        """For each client of the file its intervals in order, (start, end) in microseconds."""
        intervals: Intervals = self._content
        return intervals


Availability = Annotated[
    Annotated[
        AlwaysAvailable | OnOff | Diurnal | Bernoulli | TracedAvailability,
        Field(discriminator="kind"),
    ],
    BeforeValidator(kind_alone),
]
