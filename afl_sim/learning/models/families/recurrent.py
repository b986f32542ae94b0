"""Recurrent networks for sequences of tokens: characters or words."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from afl_sim.lazy import nn
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.entries import Entries, embedding, linear, lstm
from afl_sim.learning.models.spec import StandardSpec, token_sequence


class Lstm(StandardSpec):
    """An embedding, layers of LSTM, and a linear layer: the next character, word, or a class.

    By default the character model of Reddi et al., "Adaptive Federated Optimization", ICLR 2021,
    after McMahan et al., AISTATS 2017; ``{embedding: 96, hidden: 670, layers: 1, projection: 96}``
    is their word model. Labels of positions get outputs for each position, other labels one row for
    a sample.
    """

    portable: ClassVar[bool] = True
    kind: Literal["lstm"] = Field(default="lstm", description="Recurrent network.")
    embedding: PositiveInt = Field(default=8, description="Numbers that stand for a token.")
    layers: PositiveInt = Field(
        default=2, le=1000, description="Layers of LSTM, one upon the other."
    )
    hidden: PositiveInt = Field(default=256, description="Units of each layer.")
    projection: PositiveInt | None = Field(
        default=None,
        description="Width of a linear layer between the LSTM and the outputs; null: no layer.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Probability of dropping an output of a layer of LSTM in training.",
    )
    readout: Literal["last", "mean"] = Field(
        default="last",
        description="What a sample's one row of outputs is made of: the state at the last position "
        "or the mean over all positions. It is not used if each position has its label.",
    )

    def build(self, form: SampleForm) -> nn.Module:
        from afl_sim.learning.models.families.recurrent_network import RecurrentNetwork

        _, vocabulary = token_sequence(self.kind, form)
        return RecurrentNetwork(
            vocabulary,
            form,
            embedding=self.embedding,
            hidden=self.hidden,
            layers=self.layers,
            projection=self.projection,
            dropout=self.dropout,
            readout=self.readout,
        )

    def entries(self, form: SampleForm) -> Entries:
        _, vocabulary = token_sequence(self.kind, form)
        found = embedding("embedding", vocabulary, self.embedding)
        found += lstm("lstm", self.embedding, self.hidden, self.layers)
        width = self.hidden
        if self.projection is not None:
            found += linear("projection", width, self.projection)
            width = self.projection
        return found + linear("head", width, form.outputs)
