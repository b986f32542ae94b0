"""Small transformers for sequences of tokens."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from afl_sim.lazy import nn
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.entries import Entries, embedding, linear, normalization
from afl_sim.learning.models.spec import StandardSpec, token_sequence


class Transformer(StandardSpec):
    """A small decoder like GPT-2's (Radford et al., 2019): each position sees those up to it.

    Layers are normalised before attention and before the two layers of the perceptron, positions
    are learned, and the output layer has weights of its own. Labels of positions get outputs for
    each position, other labels one row for a sample.
    """

    portable: ClassVar[bool] = True
    kind: Literal["transformer"] = Field(default="transformer", description="Small transformer.")
    layers: PositiveInt = Field(
        default=2, le=1000, description="Blocks of attention and perceptron."
    )
    heads: PositiveInt = Field(default=4, description="Heads of attention; they divide the width.")
    width: PositiveInt = Field(default=128, description="Numbers that stand for a position.")
    feed_forward: PositiveInt | None = Field(
        default=None, description="Width of the perceptron's hidden layer; null: 4 times the width."
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Probability of dropping a number of an embedding, or of what a part of a "
        "block adds, in training. Weights of attention are not dropped.",
    )
    readout: Literal["mean", "last"] = Field(
        default="mean",
        description="What a sample's one row of outputs is made of: the mean over all positions or "
        "the last position. It is not used if each position has its label.",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(
                f"heads is {self.heads}; expected a number that divides the width, {self.width}"
            )
        return self

    def build(self, form: SampleForm) -> nn.Module:
        from afl_sim.learning.models.families.transformer_network import Decoder

        length, vocabulary = token_sequence(self.kind, form)
        return Decoder(
            length,
            vocabulary,
            form,
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            hidden=self.feed_forward or 4 * self.width,
            dropout=self.dropout,
            readout=self.readout,
        )

    def entries(self, form: SampleForm) -> Entries:
        length, vocabulary = token_sequence(self.kind, form)
        width, hidden = self.width, self.feed_forward or 4 * self.width
        found = embedding("tokens", vocabulary, width) + embedding("positions", length, width)
        for index in range(self.layers):
            block = f"blocks.{index}"
            found += normalization(f"{block}.norm1", width)
            found += normalization(f"{block}.norm2", width)
            found += linear(f"{block}.attention.queries_keys_values", width, 3 * width)
            found += linear(f"{block}.attention.out", width, width)
            found += linear(f"{block}.up", width, hidden) + linear(f"{block}.down", hidden, width)
        return found + normalization("norm", width) + linear("head", width, form.outputs)
