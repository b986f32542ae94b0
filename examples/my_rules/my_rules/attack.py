"""An attack on updates: all attackers push the model the same way."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from afl_sim import Attack


class Drift(Attack):
    """Attackers add one common vector to their updates: the signs of the model."""

    strength: PositiveFloat = Field(0.01, description="size of each entry of that vector")

    def attack(self, update: Tensor, model: Tensor, draws: np.random.Generator) -> Tensor:
        return update + self.strength * torch.sign(model)
