"""``training.compression``: what of a model travels, and in how many bytes.

The sizes are those of the numbers alone, packed without gaps: no headers, no entropy coding. What
is compressed are the P parameters; floating buffers travel as they are, 4 bytes each.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from afl_sim.scenario.section import Count, Flag, Number, Section, kind_alone


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
    Annotated[NoCompression | BFloat16 | TopK | Qsgd, Field(discriminator="kind")],
    BeforeValidator(kind_alone),
]
Download = Annotated[
    Annotated[NoCompression | BFloat16 | Qsgd, Field(discriminator="kind")],
    BeforeValidator(kind_alone),
]


class Compression(Section):
    """Compression of models and updates; it affects their values and the bytes that are sent."""

    upload: Upload = Field(
        default=NoCompression(),
        description="Compression of an update (the local model minus its starting point): none, "
        "bf16, topk or qsgd.",
    )
    download: Download = Field(
        default=NoCompression(), description="Compression of the global model: none, bf16 or qsgd."
    )

    @property
    def feeds_back(self) -> bool:
        """Whether clients keep what they did not send."""
        return isinstance(self.upload, TopK) and self.upload.error_feedback

    def download_bytes(self, parameters: int, buffers: int) -> int:
        """Bytes of a model on its way to a client."""
        return self.download.size(parameters) + 4 * buffers

    def upload_bytes(self, parameters: int, buffers: int) -> int:
        """Bytes of an update on its way to the server."""
        return self.upload.size(parameters) + 4 * buffers
