"""The network of an LSTM: recurrent layers between an embedding and a linear layer."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.readout import Readout


class RecurrentNetwork(nn.Module):
    """The network of an `Lstm`.

    Args:
        vocabulary: number of different tokens.
        form: the form of the samples.
        embedding, hidden, layers, projection, dropout, readout: as in `Lstm`.
    """

    def __init__(
        self,
        vocabulary: int,
        form: SampleForm,
        *,
        embedding: int,
        hidden: int,
        layers: int,
        projection: int | None,
        dropout: float,
        readout: Literal["last", "mean"],
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.readout = Readout("every" if form.target == "tokens" else readout)
        width = hidden
        self.projection: nn.Module = nn.Identity()
        if projection is not None:
            self.projection = nn.Linear(width, projection)
            width = projection
        self.head = nn.Linear(width, form.outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens, int64 (N, length), to outputs (N, length, outputs) or (N, outputs)."""
        states, _ = self.lstm(self.embedding(tokens))
        outputs: Tensor = self.head(self.projection(self.dropout(self.readout(states))))
        return outputs
