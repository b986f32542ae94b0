"""``training.compression``: what of a model travels, and in how many bytes.

The sizes are those of the numbers alone, packed without gaps: no headers, no entropy coding. What
is compressed are the P parameters; floating buffers travel as they are, 4 bytes each.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind
from afl_sim.scenario.own_rules.calling import code_of_rule, refusal
from afl_sim.scenario.section import Count, Flag, Number, Section

_MOST_BYTES = 2**53


class Compressor(Rule):
    """The base class of a user's own compression of updates or models.

    `compress` gives what the receiver reads, and `size` how many bytes travelled. The number of
    bytes depends on the number of parameters alone, so that durations do not depend on training.

    Example:
        >>> import torch
        >>> from afl_sim import Compressor
        >>> class Signs(Compressor):
        ...     def compress(self, vector, draws):
        ...         return vector.abs().mean() * vector.sign()
        ...
        ...     def size(self, parameters):
        ...         return -(-parameters // 8) + 4  # a bit for each sign, and the mean
        >>> Signs().compress(torch.tensor([1.0, -3.0]), None), Signs().size(1000)
        (tensor([ 2., -2.]), 129)
    """

    error_feedback: Flag = Field(
        default=False,
        description="For uploads: whether what an update loses is added to the client's next one.",
    )

    def compress(self, vector: Any, draws: np.random.Generator) -> Any:
        """The vector that the receiver gets, a tensor of shape (P,), float32.

        Args:
            vector: shape (P,), a float32 tensor that must not be changed: an update with what error
                feedback adds to it, or the parameters of the global model.
            draws: a generator of this transfer's own, for all random numbers.
        """
        raise NotImplementedError

    def size(self, parameters: int) -> int:
        """The bytes that a vector of so many parameters takes, a whole number from 0."""
        raise NotImplementedError


COMPRESSORS = RuleKind(
    "compressor",
    "afl_sim.compressors",
    Compressor,
    "compress",
    ("vector", "draws"),
    more=("size",),
)


def bytes_of(rule: Compressor, parameters: int) -> int:
    """What a user's own compressor says that so many parameters take, checked.

    Raises:
        OwnRuleError: the compressor raised an exception, or gave no number of bytes.
    """
    with code_of_rule(rule, COMPRESSORS.noun, "size"):
        found = rule.size(parameters)
    whole = isinstance(found, int | np.integer) and not isinstance(found, bool)
    if not whole or not 0 <= found <= _MOST_BYTES:
        raise refusal(
            rule,
            COMPRESSORS.noun,
            "size",
            f"returned {found!r} for {parameters} parameters; expected a whole number of bytes, 0 "
            "or more",
        )
    return int(found)


class NoCompression(Section):
    """Parameters are not compressed: 4 bytes each."""

    kind: Literal["none"] = Field(default="none", description="The kind of compression.")

    def size(self, parameters: int) -> int:
        """Bytes that so many parameters take."""
        return 4 * parameters


class BFloat16(Section):
    """Every parameter is rounded to bfloat16, to nearest even: 2 bytes each."""

    kind: Literal["bf16"] = Field(description="The kind of compression.")

    def size(self, parameters: int) -> int:
        """Bytes that so many parameters take."""
        return 2 * parameters


class TopK(Section):
    """Only the k largest entries (by absolute value) are sent: 4 bytes each, and 4 for the index.

    With error feedback a client adds what it did not send to its next update (Stich, Cordonnier,
    Jaggi, "Sparsified SGD with Memory", NeurIPS 2018).
    """

    kind: Literal["topk"] = Field(description="The kind of compression.")
    fraction: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.01, description="k as a share of the parameters; k is at least 1 (no unit)."
    )
    error_feedback: Flag = Field(
        default=True,
        description="Whether the entries that are not sent are added to the client's next update.",
    )

    def entries(self, parameters: int) -> int:
        """k, of so many parameters."""
        return max(1, round(self.fraction * parameters))

    def size(self, parameters: int) -> int:
        """Bytes that so many parameters take."""
        return 8 * self.entries(parameters)


class RandK(Section):
    """k entries drawn uniformly are sent, multiplied by P/k for P entries; the others are 0.

    So the mean over the draws is the update, and the variance is at most (P/k - 1) times its
    squared norm. An entry takes 4 bytes. Indices do not travel: both sides draw them.
    """

    kind: Literal["randk"] = Field(description="The kind of compression.")
    fraction: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.01, description="k as a share of the parameters; k is at least 1 (no unit)."
    )

    def entries(self, parameters: int) -> int:
        """k, of so many parameters."""
        return max(1, round(self.fraction * parameters))

    def size(self, parameters: int) -> int:
        """Bytes that so many parameters take."""
        return 4 * self.entries(parameters)


class Qsgd(Section):
    """Unbiased random rounding to one of 2 s + 1 multiples of the bucket's norm / s.

    Alistarh et al., "QSGD", NeurIPS 2017, equation 3: ``||v|| sgn(v_i) xi_i``, where xi_i is one of
    the two multiples of 1/s next to ``|v_i| / ||v||`` and its mean is that. An entry takes
    ``ceil(log2(2 s + 1))`` bits, a bucket's norm 4 bytes.
    """

    kind: Literal["qsgd"] = Field(description="The kind of compression.")
    levels: Annotated[Count, Field(le=2**20)] = Field(
        default=16,
        description="s: number of positive levels of an entry; 7 takes 4 bits, 127 takes 8.",
    )
    bucket: Count = Field(
        default=512, description="Number of consecutive entries that share a norm (entries)."
    )

    def size(self, parameters: int) -> int:
        """Bytes that so many parameters take."""
        bits = (2 * self.levels).bit_length()
        return -(-parameters * bits // 8) + 4 * -(-parameters // self.bucket)


Upload = Annotated[
    Annotated[NoCompression | BFloat16 | TopK | RandK | Qsgd, Field(discriminator="kind")],
    OpenTo(COMPRESSORS, ("none", "bf16", "topk", "randk", "qsgd")),
]
Download = Annotated[
    Annotated[NoCompression | BFloat16 | Qsgd, Field(discriminator="kind")],
    OpenTo(COMPRESSORS, ("none", "bf16", "qsgd")),
]
Scheme = NoCompression | BFloat16 | TopK | RandK | Qsgd | Compressor


class Compression(Section):
    """Compression of models and updates; it affects their values and the bytes that are sent."""

    upload: Upload = Field(
        default=NoCompression(),
        description="Compression of an update (the local model minus its starting point): none, "
        "bf16, topk, randk, qsgd, or your own.",
    )
    download: Download = Field(
        default=NoCompression(),
        description="Compression of the global model: none, bf16, qsgd, or your own.",
    )

    @model_validator(mode="after")
    def _no_feedback_of_models(self) -> Self:
        if getattr(self.download, "error_feedback", False):
            raise PydanticCustomError(
                "scenario",
                "download has error_feedback, which only updates can have; expected false",
            )
        return self

    @property
    def feeds_back(self) -> bool:
        """Whether clients keep what they did not send."""
        return bool(getattr(self.upload, "error_feedback", False))

    def variance(self, parameters: int) -> float | None:
        """omega of an update's compression C, for P parameters; None if it is not known.

        It is the least number such that ``E ||C(v) - v||^2 <= omega ||v||^2`` for all v, where the
        mean of C(v) is v.
        """
        if isinstance(self.upload, RandK):
            return parameters / self.upload.entries(parameters) - 1
        return 0.0 if isinstance(self.upload, NoCompression) else None

    def download_bytes(self, parameters: int, buffers: int) -> int:
        """Bytes of a model on its way to a client."""
        return _size(self.download, parameters) + 4 * buffers

    def upload_bytes(self, parameters: int, buffers: int) -> int:
        """Bytes of an update on its way to the server."""
        return _size(self.upload, parameters) + 4 * buffers


def _size(scheme: Scheme, parameters: int) -> int:
    if isinstance(scheme, Compressor):
        return bytes_of(scheme, parameters)
    return scheme.size(parameters)
