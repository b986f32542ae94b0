"""Hidden units that no image activates: a network that has died has a small gradient, too."""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import numpy.typing as npt

from afl_sim.recording import Run

MEAN: Final = 0.1306605
DEVIATION: Final = 0.3081078
"""Mean and standard deviation of the training set's pixels, by which the inputs are scaled."""


def dead_units(run: Run) -> float:
    """The share of the hidden units (%) that no image of MNIST's test set activates."""
    weights, bias = (np.asarray(part, np.float32) for part in list(run.model().values())[:2])
    return 100 * float(((_test_images() @ weights.T + bias) <= 0).all(axis=0).mean())


@cache
def _test_images() -> npt.NDArray[np.float32]:
    """MNIST's 10,000 test images, 784 pixels each, scaled as the runs' inputs are."""
    file = resources.files("afl_sim") / "learning" / "data" / "mnist" / "t10k-images-idx3-ubyte.gz"
    with file.open("rb") as packed:
        pixels = np.frombuffer(gzip.decompress(packed.read()), np.uint8, offset=16)
    return ((pixels.reshape(-1, 784) / 255 - MEAN) / DEVIATION).astype(np.float32)
