"""When clients are available, and what happens to the work of a client that leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import (
    ClientDuration,
    Duration,
    Lasting,
    OncePerClient,
    SteadyRate,
)
from afl_sim.scenario.section import (
    LONGEST_SECONDS,
    LaterSection,
    Number,
    Seconds,
    Wait,
    kind_alone,
)
from afl_sim.scenario.traces.instants import looks_like_date
from afl_sim.scenario.traces.intervals import Presences, Timing, read_intervals
from afl_sim.scenario.traces.trace_block import Factor, NumberedClients, Sha256, TraceBlock
from afl_sim.scenario.units import DURATION
from afl_sim.scenario.wording import exact, show


def _origin(value: Any) -> Any:
    """A date and time as text; or a number of seconds, which may be text with a unit."""
    if isinstance(value, str) and looks_like_date(value):
        return value
    seconds = DURATION.number(value)
    if abs(seconds) > LONGEST_SECONDS:
        why = f"got {show(value)}; expected at most {exact(LONGEST_SECONDS)} seconds"
        raise PydanticCustomError("scenario", why)
    return seconds


Origin = Annotated[float | str, BeforeValidator(_origin)]
"""A time in a file."""


class _Availability(LaterSection):
    _later: ClassVar[tuple[str, ...]] = ("clients_share",)

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

    @property
    def share_of_clients(self) -> float:
        """The share of the clients for which this holds."""
        return 1.0


class _ForSome(_Availability):
    """An availability that can hold for a part of the clients."""

    clients_share: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Share of the clients for which this holds, rounded to whole clients; the "
        "others are always available, from when they join until they leave for good. Which "
        "clients they are is drawn once for the run (no unit).",
    )

    @property
    def share_of_clients(self) -> float:
        """The share of the clients for which this holds."""
        return self.clients_share


class AlwaysAvailable(_Availability):
    """Clients that are available from the time when they join until they leave for good."""

    kind: Literal["always"] = Field(default="always", description="The kind of availability.")


class OnOff(_ForSome):
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


class Diurnal(_ForSome):
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


class Bernoulli(_ForSome):
    """In every period each client is available independently, with a given probability."""

    kind: Literal["bernoulli"] = Field(description="The kind of availability.")
    probability: OncePerClient = Field(
        description="Probability that a client is available in a period, drawn once for each "
        "client (no unit); 1 or more: always."
    )
    every_seconds: Annotated[Number, Field(ge=1e-3, le=9e12), DURATION] = Field(
        default=1.0, description="Length of a period (seconds)."
    )


class TracedAvailability(TraceBlock, _ForSome):
    """Measured intervals from a file."""

    _later = ("clients_share", "factor", "number_clients", "origin")

    kind: Literal["trace"] = Field(description="The kind of availability.")
    trace: str = Field(
        description="A CSV or Parquet file with the columns client, start, end: the client is "
        "available from start up to, but not including, end. Times are numbers (seconds, or the "
        "unit in a name such as start_h), or dates and times such as 2024-03-01T22:00:00. The "
        "clients of the file are numbered from 0, or have names, and each has a row; client i of "
        "the run has the intervals of client i modulo their number."
    )
    repeat: Annotated[SteadyRate, In(DURATION)] | None = Field(
        default=None,
        description="The intervals are repeated after this time, drawn once for each client "
        "(seconds); null: after its last interval a client is gone. An interval that ends later "
        "goes on at the beginning.",
    )
    factor: Factor | None = Field(
        default=None,
        description="Factor that converts start and end to seconds: 0.001 if they are in "
        "milliseconds (seconds per unit of the file); null: as the names of the columns say.",
    )
    origin: Origin | None = Field(
        default=None,
        description="The time in the file at which the run begins: seconds, or a date and time; "
        "null: 0, and of dates and times the earliest start. What is earlier is left out, or "
        "repeated.",
    )
    number_clients: NumberedClients = None
    sha256: Sha256 = None

    def _load(self, path: Path) -> tuple[Presences, str]:
        repeat = None if self.repeat is None else self.repeat.constant
        timing = Timing(repeat, self.repeat is not None, self.factor, self.origin)
        return read_intervals(path, timing, self.number_clients)

    @property
    def presences(self) -> Presences:
        """The content of the file."""
        presences: Presences = self._content
        return presences


Availability = Annotated[
    Annotated[
        AlwaysAvailable | OnOff | Diurnal | Bernoulli | TracedAvailability,
        Field(discriminator="kind"),
    ],
    BeforeValidator(kind_alone),
]
