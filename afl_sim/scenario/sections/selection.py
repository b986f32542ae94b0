"""Which of the idle clients the server chooses, whatever its strategy."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from afl_sim.scenario.section import Count, Number, Seconds, Section, kind_alone


class _Selection(Section):
    reads_results: ClassVar[bool] = False
    """Whether it needs losses, and so cannot work without training."""


class UniformSelection(_Selection):
    """Every idle client is as likely as any other. The only one that costs nothing per client."""

    kind: Literal["uniform"] = Field(default="uniform", description="The kind of selection.")


class WeightedSelection(_Selection):
    """Clients are drawn one after the other, with probabilities in proportion to their weights."""

    kind: Literal["weighted"] = Field(description="The kind of selection.")
    by: Literal["samples", "speed"] = Field(
        description="A client's weight: the samples that it holds, or one over the mean round trip "
        "of its tasks."
    )
    exponent: Number = Field(
        default=1.0, description="The weight's power; below 0 it is turned round (no unit)."
    )


class RoundRobin(_Selection):
    """Clients in the order of their numbers, again and again; who is not idle is passed over."""

    kind: Literal["round_robin"] = Field(description="The kind of selection.")


class WithoutReplacement(_Selection):
    """Who has been chosen least often, in random order: nobody twice until all have served."""

    kind: Literal["without_replacement"] = Field(description="The kind of selection.")


class PowerOfChoice(_Selection):
    """The highest losses among some clients drawn by their samples.

    Cho, Wang, Joshi, "Towards Understanding Biased Client Selection in Federated Learning",
    AISTATS 2022. A client's loss is the mean training loss of its last update; clients that have
    sent none come first, those whose loss is not finite last.
    """

    reads_results: ClassVar[bool] = True

    kind: Literal["power_of_choice"] = Field(description="The kind of selection.")
    candidates: Count = Field(
        description="d: how many clients are drawn, of whom those of highest loss are taken."
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
        description="Mean share of the chosen clients that are drawn from those not heard of yet, "
        "however many are chosen at a time (no unit).",
    )
    preferred_seconds: Seconds | None = Field(
        default=None, description="T: the round trip that is not penalised (seconds); null: any."
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
