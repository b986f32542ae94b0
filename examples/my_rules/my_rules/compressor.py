"""A compressor of updates and models."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from afl_sim import Compressor


class HalfPrecision(Compressor):
    """Every number is rounded to float16, after all are scaled into its range: 2 bytes each."""

    def compress(self, vector: Tensor, draws: np.random.Generator) -> Tensor:
        scale = vector.abs().max().clamp(min=1e-30)
        return (vector / scale).to(torch.float16).to(torch.float32) * scale

    def size(self, parameters: int) -> int:
        return 2 * parameters + 4  # and the scale, a float32
