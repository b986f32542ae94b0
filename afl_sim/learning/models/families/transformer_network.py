"""The network of a transformer: blocks of attention and perceptron."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.readout import Readout

_DEVIATION = 0.02  # of initial weights, as in GPT-2


class Decoder(nn.Module):
    """The network of a `Transformer`.

    Args:
        length: the largest number of positions.
        vocabulary: number of different tokens.
        form: the form of the samples.
        layers, heads, width, dropout, readout: as in `Transformer`.
        hidden: width of the perceptrons' hidden layers.
    """

    numbers: Tensor

    def __init__(
        self,
        length: int,
        vocabulary: int,
        form: SampleForm,
        *,
        layers: int,
        heads: int,
        width: int,
        hidden: int,
        dropout: float,
        readout: Literal["mean", "last"],
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.blocks = nn.Sequential(
            *(DecoderBlock(width, heads, hidden, dropout) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        self.readout = Readout("every" if form.target == "tokens" else readout)
        self.head = nn.Linear(width, form.outputs)
        self.register_buffer("numbers", torch.arange(length), persistent=False)
        # What is added to the states does not grow with the number of blocks.
        last = _DEVIATION * (2 * layers) ** -0.5
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear | nn.Embedding):
                adds = name.endswith((".out", ".down"))
                nn.init.normal_(layer.weight, std=last if adds else _DEVIATION)
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens, int64 (N, length), to outputs (N, length, outputs) or (N, outputs)."""
        numbers = self.numbers[: tokens.shape[1]]
        states = self.dropout(self.tokens(tokens) + self.positions(numbers))
        outputs: Tensor = self.head(self.readout(self.norm(self.blocks(states))))
        return outputs


class DecoderBlock(nn.Module):
    """Attention and a perceptron, each added to what it is given.

    Args:
        width, heads, hidden, dropout: as in `Decoder`.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """States of shape (N, length, width) to new ones."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        added: Tensor = self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))
        return x + added


class CausalAttention(nn.Module):
    """Self-attention in which no position sees a later one.

    Args:
        width: numbers of a position.
        heads: they divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """States of shape (N, length, width) to the same shape."""
        count, length, width = x.shape
        parts = self.queries_keys_values(x).view(count, length, 3, self._heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        mixed: Tensor = self.out(seen.transpose(1, 2).reshape(count, length, width))
        return mixed
