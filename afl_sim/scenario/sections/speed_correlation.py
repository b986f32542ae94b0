"""The correlation between the data of clients and their speed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from afl_sim.scenario.section import Number, Section


class SpeedCorrelation(Section):
    """The data of clients is correlated with their speed.

    The partition is dealt out as ever, and its parts then change hands: ordered by what is in them,
    they go to the clients ordered by `strength * z + sqrt(1 - strength**2) * noise`, z being the
    normal score of a client's rank by its persistent speed, the noise standard normal.
    """

    of: Literal["labels", "samples", "main_label"] = Field(
        description="The quantity that is correlated with speed. labels: the number of labels of "
        "a client (the exponential of the entropy of its label shares: k for k labels in equal "
        "shares); samples: the number of samples; main_label: its most frequent label."
    )
    strength: Number = Field(
        default=1.0,
        ge=-1,
        le=1,
        description="Strength of the correlation, from -1 to 1 (no unit). 1: the fastest client "
        "has the most labels or samples, or the highest label; -1: the fewest, or the lowest; 0: "
        "independent.",
    )
