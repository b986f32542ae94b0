"""Which of the idle clients the server chooses, whatever its strategy."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from afl_sim.scenario.section import Count, Number, Seconds, Section, kind_alone


class _Selection(Section):
    reads_results: ClassVar[bool] = False
    """Whether it needs losses, and so cannot work without training."""


class UniformSelection(_Selection):
    """All idle clients have the same probability. Only this selection has no cost per client."""

    kind: Literal["uniform"] = Field(default="uniform", description="The kind of selection.")


class WeightedSelection(_Selection):
    """Clients are drawn one after another, with probabilities proportional to their weights."""

    kind: Literal["weighted"] = Field(description="The kind of selection.")
    by: Literal["samples", "speed"] = Field(
        description="A client's weight: the number of its samples, or one over the mean round "
        "trip of its tasks."
    )
    exponent: Number = Field(
        default=1.0,
        description="Exponent of the weight; a negative one reverses the preference (no unit).",
    )


class RoundRobin(_Selection):
    """Clients are chosen cyclically in the order of their numbers; busy clients are skipped."""

    kind: Literal["round_robin"] = Field(description="The kind of selection.")


class WithoutReplacement(_Selection):
    """The clients chosen least often, in random order: each serves once before any serves twice."""

    kind: Literal["without_replacement"] = Field(description="The kind of selection.")


class PowerOfChoice(_Selection):
    """The clients with the highest losses among candidates drawn in proportion to their samples.

    Cho, Wang, Joshi, "Towards Understanding Biased Client Selection in Federated Learning",
    AISTATS 2022. A client's loss is the mean training loss of its last update; clients that have
    sent none come first, those whose loss is not finite last.
    """

    reads_results: ClassVar[bool] = True

    kind: Literal["power_of_choice"] = Field(description="The kind of selection.")
    candidates: Count = Field(
        description="d: number of clients that are drawn; of these the ones with the highest loss "
        "are chosen."
    )


class Oort(_Selection):
    """The most useful clients: high losses on many samples, and not too slow.

    Lai et al., "Oort: Efficient Federated Learning via Guided Participant Selection", OSDI 2021.
    The utility is ``n_k loss_k``, plus the paper's bonus for clients not heard of for long, times
    ``(T / t_k)^alpha`` for those that take longer than T; the mean training loss of the last update
    stands for the root mean square that the paper takes over samples. A loss that is not finite is
    the lowest.
    """

    reads_results: ClassVar[bool] = True

    kind: Literal["oort"] = Field(description="The kind of selection.")
    exploration: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.1,
        description="Mean share of the chosen clients that are drawn from clients that have not "
        "reported yet, for any number of clients chosen at a time (no unit).",
    )
    preferred_seconds: Seconds | None = Field(
        default=None,
        description="T: the longest round trip that is not penalised (seconds); null: no penalty.",
    )
    penalty: Annotated[Number, Field(ge=0)] = Field(
        default=2.0, description="alpha: how strongly slower clients are penalised (no unit)."
    )


Selection = Annotated[
    Annotated[
        UniformSelection
        | WeightedSelection
        | RoundRobin
        | WithoutReplacement
        | PowerOfChoice
        | Oort,
        Field(discriminator="kind"),
    ],
    BeforeValidator(kind_alone),
]
