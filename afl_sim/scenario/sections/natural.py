"""The partition that the data has by itself: its own clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from afl_sim.scenario.sections.partition_base import PartitionBase, Problem


class Natural(PartitionBase):
    """Each client holds the samples of one of the data's own clients: a writer, a user, a device.

    ``clients.count`` says how many of them take part. Those with fewer than `min_samples` samples
    take no part.
    """

    kind: Literal["natural"] = Field(description="The data's own clients.")
    min_samples: int = Field(
        default=1,
        ge=1,
        description="Smallest number of samples of a client; clients of the data with fewer take "
        "no part (samples).",
    )
    order: Literal["shuffled", "file"] = Field(
        default="shuffled",
        description="Which of the data's clients take part, if there are more than are wanted: "
        "`shuffled` draws them at random, `file` takes the first ones in the order of the data.",
    )
    max_samples: int | None = Field(
        default=None,
        ge=1,
        description="Largest number of samples that a client keeps; of more, a random part is "
        "kept. null: all (samples).",
    )
    split: int = Field(
        default=1,
        ge=1,
        description="Number of clients among whom the samples of one of the data's clients are "
        "divided (clients).",
    )
    alpha: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="How they are divided: each label in shares drawn from a symmetric Dirichlet "
        "distribution with this concentration; null: at random into equal parts (no unit).",
    )

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        if self.alpha is not None and self.split == 1:
            yield (
                ("alpha",),
                "it divides the samples of one of the data's clients among several, but split is "
                "1; expected split of 2 or more, or no alpha",
            )
        if clients % self.split:
            yield (
                ("split",),
                f"{clients} clients cannot come in groups of {self.split}; expected a divisor of "
                "clients.count",
            )
        if self.max_samples is not None and self.max_samples < self.min_samples:
            yield (
                ("max_samples",),
                f"got {self.max_samples}; expected at least min_samples ({self.min_samples})",
            )
