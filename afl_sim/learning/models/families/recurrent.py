"""Recurrent networks for sequences of tokens: characters or words."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.readout import Readout
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
        _, vocabulary = token_sequence(self.kind, form)
        return RecurrentNetwork(self, vocabulary, form)


class RecurrentNetwork(nn.Module):
    """The network of an `Lstm`.

    Args:
        spec: its hyperparameters.
        vocabulary: number of different tokens.
        form: the form of the samples.
    """

    def __init__(self, spec: Lstm, vocabulary: int, form: SampleForm) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, spec.embedding)
        between = spec.dropout if spec.layers > 1 else 0.0
        self.lstm = nn.LSTM(
            spec.embedding, spec.hidden, spec.layers, batch_first=True, dropout=between
        )
        self.dropout = nn.Dropout(spec.dropout) if spec.dropout else nn.Identity()
        self.readout = Readout("every" if form.target == "tokens" else spec.readout)
        width = spec.hidden
        self.projection: nn.Module = nn.Identity()
        if spec.projection is not None:
            self.projection = nn.Linear(width, spec.projection)
            width = spec.projection
        self.head = nn.Linear(width, form.outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens, int64 (N, length), to outputs (N, length, outputs) or (N, outputs)."""
        states, _ = self.lstm(self.embedding(tokens))
        outputs: Tensor = self.head(self.projection(self.dropout(self.readout(states))))
        return outputs
