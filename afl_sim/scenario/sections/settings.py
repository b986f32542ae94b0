"""The short sections: server, stop, evaluation, recording, numerics, execution."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.uses import ServersOwn
from afl_sim.scenario.section import Count, Flag, Number, Seconds, Section, Whole
from afl_sim.scenario.sections.faults import Guard, Pauses
from afl_sim.scenario.sections.network import ServerLink, UncontendedLink
from afl_sim.scenario.sections.selection import Selection, UniformSelection

Share = Annotated[Number, Field(gt=0, le=1)]


class Server(Section):
    """The server's own time, and its links."""

    aggregation_seconds: ServersOwn = Field(
        default=Distribution(0.0),
        description="How long an aggregation takes, drawn for each (seconds).",
    )
    selection: Selection = Field(
        default=UniformSelection(), description="Whom it chooses among the idle clients."
    )
    pauses: Pauses | None = Field(default=None, description="When the server is down; null: never.")
    guard: Guard | None = Field(
        default=None, description="Which updates the server refuses to use; null: none."
    )
    download: ServerLink = Field(
        default=UncontendedLink(),
        description="The link by which models leave the server; a model crosses it before the "
        "client's own path.",
    )
    upload: ServerLink = Field(
        default=UncontendedLink(),
        description="The link by which updates reach the server; an update crosses it after the "
        "client's own path.",
    )


class Stop(Section):
    """When a run ends: the first of these that is reached. At least one is given."""

    virtual_seconds: Seconds | None = Field(
        default=None, description="Virtual time; events at exactly this time are not in (seconds)."
    )
    versions: Count | None = Field(
        default=None, description="Model versions made by the server (versions)."
    )
    updates: Count | None = Field(default=None, description="Client updates aggregated (updates).")
    samples: Count | None = Field(
        default=None, description="Samples trained in aggregated updates (samples)."
    )
    accuracy: Share | None = Field(
        default=None,
        description="Accuracy reached in an evaluation (share, 0.95 is 95 %). With --timing-only "
        "it is ignored where there is another rule.",
    )

    @model_validator(mode="after")
    def _some_rule(self) -> Self:
        if all(value is None for value in vars(self).values()):
            names = ", ".join(type(self).model_fields)
            raise PydanticCustomError("scenario", f"no stop rule; expected at least one of {names}")
        return self

    @property
    def untrained(self) -> Self:
        """The rules for a run that trains nothing and so has no accuracy."""
        return self if self.accuracy is None else self.model_copy(update={"accuracy": None})


class Evaluation(Section):
    """When and on what the global model is tested; always at the start and at the end too."""

    every_versions: Count | None = Field(
        default=None, description="Versions between evaluations (versions)."
    )
    every_seconds: Seconds | None = Field(
        default=None, description="Virtual time between evaluations (seconds)."
    )
    seconds: ServersOwn = Field(
        default=Distribution(0.0),
        description="How long the server is busy with an evaluation of every_versions before it "
        "goes on, drawn for each (seconds). Others take it no time.",
    )
    on: Literal["test", "validation", "client_test", "client_train"] = Field(
        default="test",
        description="test: the test set; validation: the share that data.validation holds out; "
        "client_test: what all clients together keep for tests (data.client_test); client_train: "
        "what they train on, each sample counting once.",
    )
    samples: Count | None = Field(
        default=None, description="A fixed random subset of this size (samples); null: all."
    )
    squared_gradient_norm: Flag = Field(
        default=False,
        description="Whether an evaluation also gives the squared L2 norm of the gradient of the "
        "mean loss over all that the clients hold, each sample counting once for each client that "
        "holds it; costs about as much as training one epoch of that data.",
    )
    targets: tuple[Share, ...] = Field(
        default=(0.9, 0.95), description="Accuracies whose virtual time is reported (shares)."
    )

    @property
    def goes_on(self) -> bool:
        """Whether the model is tested between the start and the end too."""
        return self.every_versions is not None or self.every_seconds is not None


class Recording(Section):
    """What is written beside the events and metrics."""

    trace: Flag = Field(default=True, description="Whether trace.json (for Perfetto) is written.")
    trace_limit: Whole = Field(
        default=200_000, ge=0, description="Events drawn into trace.json at most (events)."
    )


class Numerics(Section):
    """The arithmetic of training; part of the identity of a run."""

    mode: Literal["exact", "batched"] = Field(
        default="exact",
        description="exact: one task at a time; batched: tasks that are outstanding together are "
        "trained together, in one process, to bits of their own.",
    )
    group: Count = Field(
        default=16, le=4096, description="Tasks trained together at most; for batched (tasks)."
    )
    precision: Literal["float32", "bf16"] = Field(
        default="float32",
        description="Floating-point format of forward and backward passes; bf16: autocast to "
        "bfloat16, with parameters, losses and updates in float32.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Where models are trained and tested; cuda: one NVIDIA GPU."
    )


class Execution(Section):
    """Where tasks run; it does not change any result."""

    executor: Literal["inline", "processes", "ray"] = Field(
        default="inline",
        description="inline: in this very process; processes: in worker processes beside it; ray: "
        "on a Ray cluster.",
    )
    workers: Count = Field(
        default=1,
        le=1024,
        description="Number of worker processes; inline has none, ray at most as many as the "
        "cluster has processors (processes).",
    )
    ray_address: str | None = Field(
        default=None,
        description="The Ray cluster, as `auto` or host:port; null: one on this machine, for this "
        "run alone.",
    )
    checkpoint_seconds: Seconds | None = Field(
        default=60.0, description="Wall time between checkpoints (seconds); null: none for that."
    )
    checkpoint_versions: Count | None = Field(
        default=None, description="Versions between checkpoints (versions); null: none for that."
    )
    sinks: tuple[Literal["tensorboard", "mlflow"], ...] = Field(
        default=(),
        description="Where evaluations also go as they come; tensorboard writes into the run "
        "folder. Each needs the extra of its name.",
    )
