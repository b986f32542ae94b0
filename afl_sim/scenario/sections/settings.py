"""The short sections: server, stop, recording, numerics, execution."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.uses import ServerDuration
from afl_sim.scenario.section import (
    Count,
    Flag,
    LaterSection,
    Number,
    Seconds,
    Section,
    Wait,
    Whole,
    two,
)
from afl_sim.scenario.sections.controllers import AnyController
from afl_sim.scenario.sections.energy import CarbonKey, ServerWatts
from afl_sim.scenario.sections.evaluation import Share
from afl_sim.scenario.sections.faults import Guard, Pauses
from afl_sim.scenario.sections.metrics import accuracies_are_shares
from afl_sim.scenario.sections.network import ServerLink, UncontendedLink
from afl_sim.scenario.sections.prices import ServerPrice
from afl_sim.scenario.sections.selection import AnySelection, UniformSelection
from afl_sim.scenario.units import ENERGY


class Server(LaterSection):
    """Durations, client selection and links of the server."""

    _later = ("buffers", "power", "price", "carbon_intensity", "adaptive")

    aggregation_seconds: ServerDuration = Field(
        default=Distribution(0.0),
        description="Duration of an aggregation, drawn for each (seconds).",
    )
    selection: AnySelection = Field(
        default=UniformSelection(), description="How clients are chosen among the idle ones."
    )
    pauses: Pauses | None = Field(
        default=None, description="Times at which the server is down; null: none."
    )
    guard: Guard | None = Field(
        default=None, description="Which updates the server rejects; null: none."
    )
    download: ServerLink = Field(
        default=UncontendedLink(),
        description="The link on which models leave the server; a model passes it before the "
        "client's own link.",
    )
    upload: ServerLink = Field(
        default=UncontendedLink(),
        description="The link on which updates reach the server; an update passes it after the "
        "client's own link.",
    )
    buffers: Literal["mean", "rule"] = Field(
        default="mean",
        description="What the buffers of the global model (BatchNorm's running statistics) become. "
        "mean: their mean over the aggregated updates. rule: what the strategy's rule makes of "
        "them, as if they were parameters; strategies that mix models or deltas can do this.",
    )
    power: ServerWatts | None = Field(
        default=None,
        description="The server's power at all times (watts); null: its energy is not counted.",
    )
    price: ServerPrice | None = Field(
        default=None, description="What the server costs; null: nothing."
    )
    carbon_intensity: CarbonKey = None
    adaptive: AnyController | None = Field(
        default=None,
        description="How the server changes the strategy's concurrency or buffer_size during the "
        "run; null: not at all.",
    )


class Stop(LaterSection):
    """When a run ends: at the first of these that is reached. At least one is required."""

    _later = ("metrics", "energy_joules", "price", "carbon_grams")

    virtual_seconds: Seconds | None = Field(
        default=None,
        description="Virtual time; events at exactly this time are not included (seconds).",
    )
    versions: Count | None = Field(
        default=None, description="Number of model versions that the server has made (versions)."
    )
    updates: Count | None = Field(
        default=None, description="Number of updates aggregated (updates)."
    )
    samples: Count | None = Field(
        default=None, description="Number of samples trained for aggregated updates (samples)."
    )
    accuracy: Share | None = Field(
        default=None,
        description="Accuracy that an evaluation reaches (share, 0.95 is 95 %). With "
        "--timing-only it is ignored if there is another rule.",
    )
    metrics: Annotated[dict[str, Number], AfterValidator(accuracies_are_shares)] | None = Field(
        default=None,
        min_length=1,
        description="Values that an evaluation reaches, by metric, as in {rmse: 3.0}; any one of "
        "them ends the run. A metric that is better the lower it is has to be at most its value, "
        "another at least. Like accuracy with --timing-only.",
    )
    energy_joules: Annotated[Number, Field(gt=0), ENERGY] | None = Field(
        default=None,
        description="Energy that clients and server have used, the total of `energy_joules` in the "
        "summary; looked at after each version and evaluation (joules).",
    )
    price: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Price of clients and server together, the total of `price` in the summary; "
        "looked at after each version and evaluation (money).",
    )
    carbon_grams: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Carbon dioxide of the electricity that clients and server have used, the "
        "total of `carbon_grams` in the summary; looked at after each version and evaluation "
        "(grams).",
    )

    @model_validator(mode="after")
    def _some_rule(self) -> Self:
        if all(value is None for value in vars(self).values()):
            names = ", ".join(type(self).model_fields)
            raise PydanticCustomError("scenario", f"no stop rule; expected at least one of {names}")
        return self

    @property
    def by_metric(self) -> dict[str, float]:
        """The values of metrics that end a run."""
        accuracy = {} if self.accuracy is None else {"accuracy": self.accuracy}
        return {**accuracy, **(self.metrics or {})}

    @property
    def by_cost(self) -> dict[str, float]:
        """The values of energy and prices that end a run."""
        limits = {
            "energy_joules": self.energy_joules,
            "price": self.price,
            "carbon_grams": self.carbon_grams,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def only_metrics(self) -> bool:
        """Whether every rule asks for the value of a metric."""
        rules = {name for name, value in vars(self).items() if value is not None}
        return rules <= {"accuracy", "metrics"}

    @property
    def untrained(self) -> Self:
        """The rules for a run that trains nothing, and so has no value of a metric."""
        if not self.by_metric:
            return self
        return self.model_copy(update={"accuracy": None, "metrics": None})


def _in_order(window: tuple[float, float]) -> tuple[float, float]:
    begin, end = window
    if begin >= end:
        raise PydanticCustomError(
            "scenario", f"goes from {begin:g} to {end:g}; expected an end after the beginning"
        )
    return window


Window = Annotated[tuple[Wait, Wait], two("[from, to]"), AfterValidator(_in_order)]
"""Two moments of virtual time (s), the later one second."""


class Recording(LaterSection):
    """Optional files besides events and metrics."""

    _later = ("models", "trace_window")

    trace: Flag = Field(default=True, description="Whether trace.json (for Perfetto) is written.")
    trace_limit: Whole = Field(
        default=200_000,
        ge=0,
        description="Largest number of events in trace.json, the first ones; 1,000,000 events "
        "take about 100 MB (events).",
    )
    trace_window: Window | None = Field(
        default=None,
        description="Draw only what happens within this window of virtual time, [from, to], in "
        "trace.json (s).",
    )
    models: Literal["final", "evaluations"] = Field(
        default="final",
        description="Which global models are kept. final: the last one, in model.safetensors. "
        "evaluations: also every one that is evaluated, in models/version-N.safetensors. With "
        "--timing-only there are none.",
    )


class Numerics(Section):
    """The arithmetic of training; it is part of the identity of a run."""

    mode: Literal["exact", "batched"] = Field(
        default="exact",
        description="exact: one task at a time; batched: tasks that are outstanding at the same "
        "time are trained together in one process. Batched results are repeatable, but differ "
        "from exact ones.",
    )
    group: Count = Field(
        default=16,
        le=4096,
        description="Largest number of tasks that are trained together; for batched (tasks).",
    )
    precision: Literal["float32", "bf16"] = Field(
        default="float32",
        description="Floating-point format of forward and backward passes; bf16: autocast to "
        "bfloat16, with parameters, losses and updates in float32.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Where models are trained and evaluated; cuda: one NVIDIA GPU."
    )
    bits: Literal["auto", "portable", "native"] = Field(
        default="auto",
        description="portable: arithmetic whose bits are the same on every x86-64 processor with "
        "AVX2; a run that cannot have it is refused. native: PyTorch's own, whose bits depend on "
        "the processor and the versions of libraries. auto: portable where that is possible, "
        "otherwise native; the summary says which, and why.",
    )


class Execution(Section):
    """Where tasks run; it does not change any result."""

    executor: Literal["inline", "processes", "ray"] = Field(
        default="inline",
        description="inline: in this process; processes: in worker processes on this machine; "
        "ray: on a Ray cluster.",
    )
    workers: Count = Field(
        default=1,
        le=1024,
        description="Number of worker processes. inline has none; with ray there are at most as "
        "many as the cluster has processors (processes).",
    )
    ray_address: str | None = Field(
        default=None,
        description="The Ray cluster, as `auto` or host:port; null: a cluster on this machine, "
        "for this run only.",
    )
    checkpoint_seconds: Seconds | None = Field(
        default=60.0,
        description="Wall time between checkpoints (seconds); null: no checkpoints by wall time.",
    )
    checkpoint_versions: Count | None = Field(
        default=None,
        description="Number of versions between checkpoints (versions); null: no checkpoints by "
        "versions.",
    )
    sinks: tuple[Literal["tensorboard", "mlflow"], ...] = Field(
        default=(),
        description="Other places to which each evaluation is written during the run; tensorboard "
        "writes into the run folder. Each needs the extra with its name.",
    )
