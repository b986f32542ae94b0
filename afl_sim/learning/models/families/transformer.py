"""Small transformers for sequences of tokens."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.readout import Readout
from afl_sim.learning.models.spec import StandardSpec, token_sequence

_DEVIATION = 0.02  # of initial weights, as in GPT-2


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
        length, vocabulary = token_sequence(self.kind, form)
        return Decoder(self, length, vocabulary, form)


class Decoder(nn.Module):
    """The network of a `Transformer`.

    Args:
        spec: its hyperparameters.
        length: the largest number of positions.
        vocabulary: number of different tokens.
        form: the form of the samples.
    """

    numbers: Tensor

    def __init__(self, spec: Transformer, length: int, vocabulary: int, form: SampleForm) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, spec.width)
        self.positions = nn.Embedding(length, spec.width)
        self.dropout = nn.Dropout(spec.dropout) if spec.dropout else nn.Identity()
        self.blocks = nn.Sequential(*(DecoderBlock(spec) for _ in range(spec.layers)))
        self.norm = nn.LayerNorm(spec.width)
        self.readout = Readout("every" if form.target == "tokens" else spec.readout)
        self.head = nn.Linear(spec.width, form.outputs)
        self.register_buffer("numbers", torch.arange(length), persistent=False)
        # What is added to the states does not grow with the number of blocks.
        last = _DEVIATION * (2 * spec.layers) ** -0.5
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
        spec: the hyperparameters.
    """

    def __init__(self, spec: Transformer) -> None:
        super().__init__()
        hidden = spec.feed_forward or 4 * spec.width
        self.norm1, self.norm2 = nn.LayerNorm(spec.width), nn.LayerNorm(spec.width)
        self.attention = CausalAttention(spec.width, spec.heads)
        self.up, self.down = nn.Linear(spec.width, hidden), nn.Linear(hidden, spec.width)
        self.dropout = nn.Dropout(spec.dropout) if spec.dropout else nn.Identity()

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
