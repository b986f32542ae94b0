"""What one sample looks like, and what a model has to give for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Target = Literal["class", "number", "several", "tokens"]
IGNORED: Final = -100
"""The label of a position that counts neither in a loss nor in a metric."""

LABELS: Final[dict[str, str]] = {
    "class": "classes",
    "number": "numbers (regression)",
    "several": "several labels for each sample",
    "tokens": "a label for each token",
}
"""What labels may be, in words."""


@dataclass(frozen=True)
class SampleForm:
    """The shapes and types of a data set's samples.

    Attributes:
        input_shape: shape of one input: (channels, height, width) of an image, (features,), or
            (length,) of tokens.
        outputs: how many numbers a model gives for a sample; for ``tokens``, for each position.
        target: what a label is. ``class``: one of `outputs` labels, int64 (n,). ``number``: float32
            (n, outputs). ``several``: any of `outputs` labels, zeros and ones, float32
            (n, outputs). ``tokens``: one of `outputs` labels for each position, int64 (n, length),
            with `IGNORED` where there is none.
        vocabulary: the number of different tokens in the inputs, which are int64 then; None if the
            inputs are float32.
    """

    input_shape: tuple[int, ...]
    outputs: int
    target: Target = "class"
    vocabulary: int | None = None

    @property
    def is_image(self) -> bool:
        """Whether an input is an image: (channels, height, width)."""
        return self.vocabulary is None and len(self.input_shape) == 3

    @property
    def inputs(self) -> str:
        """The inputs in words, for messages."""
        shape = "x".join(map(str, self.input_shape))
        if self.vocabulary is not None:
            return f"{shape} tokens of {self.vocabulary}"
        return f"{shape} images" if self.is_image else f"{shape} numbers"

    @property
    def labels(self) -> str:
        """The labels in words, for messages."""
        return LABELS[self.target]
