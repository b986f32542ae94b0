"""Work that makes a model a client's own: in its tasks, or before an evaluation."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from afl_sim.scenario.section import (
    MOST_STEPS,
    Count,
    Float32,
    Section,
    default_choice,
    kind_alone,
    refuse_many,
)

LENGTHS: Final = ("epochs", "steps")


class Extra(Section):
    """An amount of local training: passes over the client's data, or steps."""

    epochs: Count | None = Field(
        default=None,
        le=MOST_STEPS,
        description="Number of passes over the client's data (epochs). Give either this or "
        "`steps`; by default 1.",
    )
    steps: Count | None = Field(
        default=None, le=MOST_STEPS, description="Number of optimizer steps (steps)."
    )

    @model_validator(mode="before")
    @classmethod
    def _default_epochs(cls, block: Any) -> Any:
        return default_choice(block, LENGTHS, {"epochs": 1})

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        refuse_many(self, LENGTHS)
        return self

    def steps_of(self, batches: int) -> int:
        """The steps of a client with so many mini-batches in a pass; none without samples."""
        if not batches:
            return 0
        return self.steps if self.steps is not None else batches * (self.epochs or 0)


class FedRep(Extra):
    """A task trains the personal parts first, and then the shared parts, each with the other fixed.

    Collins et al., "Exploiting Shared Representations for Personalized Federated Learning", ICML
    2021, Algorithm 1: this section has the steps of the head, `training` those of the body.
    """

    comes_first: ClassVar[bool] = True

    kind: Literal["fedrep"] = Field(description="The kind of personalization.")


class Ditto(Extra):
    """Each client also keeps a whole model v, which a proximal term ties to the global model w.

    Li et al., "Ditto: Fair and Robust Federated Learning Through Personalization", ICML 2021,
    Algorithm 1: after its update of w, a task makes steps ``v <- v - lr (g(v) + lambda (v - w))``,
    where w is the global model that the client downloaded.
    """

    comes_first: ClassVar[bool] = False

    kind: Literal["ditto"] = Field(description="The kind of personalization.")
    weight: Float32 = Field(
        default=1.0,
        alias="lambda",
        ge=0,
        description="Weight of the proximal term lambda/2 * ||v - w||^2 (no unit); with 0 the "
        "clients' own models learn nothing from each other.",
    )


AnyPersonalization = Annotated[
    Annotated[FedRep | Ditto, Field(discriminator="kind")], BeforeValidator(kind_alone)
]


class FineTuning(Extra):
    """A client's model is trained on its own samples before it is tested."""

    lr: Float32 | None = Field(
        default=None,
        ge=0,
        description="Learning rate, in place of that of training.optimizer; null: the same.",
    )
    parameters: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Patterns of the parameters and buffers that change, such as classifier.*; "
        "null: all.",
    )
