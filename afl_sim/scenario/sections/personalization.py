"""Work that makes a model a client's own: fine-tuning before an evaluation."""

from __future__ import annotations

from typing import Any, Final, Self

from pydantic import Field, model_validator

from afl_sim.scenario.section import (
    MOST_STEPS,
    Count,
    Float32,
    Section,
    default_choice,
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
