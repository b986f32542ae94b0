"""Each normalization is its formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from afl_sim.learning.data.datasets import load_dataset
from afl_sim.learning.data.normalization import normalization, of_unit_norm
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.streams import Streams


def images(samples: int = 40, channels: int = 3) -> torch.Tensor:
    random = np.random.default_rng(5)
    return torch.from_numpy(random.integers(0, 256, (samples, channels, 4, 4), dtype=np.uint8))


@pytest.mark.parametrize("how", ["standard", "unit", "centred", "raw", "pixelwise"])
def test_normalisation_is_its_formula(how: str) -> None:
    train, pool = images(), torch.cat([images(), images(7)])
    unit = pool.numpy().astype(np.float64) / 255
    reference = train.numpy().astype(np.float64) / 255
    expected = {
        "raw": unit * 255,
        "unit": unit,
        "centred": unit - 0.5,
        "standard": (unit - reference.mean((0, 2, 3), keepdims=True))
        / reference.std((0, 2, 3), keepdims=True),
        "pixelwise": (unit - unit.mean(0)) / (unit.std(0) + 0.001),
    }[how]
    shift, scale = normalization(how, train, pool)
    np.testing.assert_allclose((pool.float() - shift) / scale, expected, rtol=1e-5, atol=1e-6)


def test_flat_images_are_normalised_without_dividing_by_zero() -> None:
    flat = torch.full((5, 1, 2, 2), 9, dtype=torch.uint8)
    for how in ("standard", "pixelwise"):
        shift, scale = normalization(how, flat, flat)
        assert torch.equal((flat.float() - shift) / scale, torch.zeros(5, 1, 2, 2))


def test_images_of_unit_norm_point_where_they_did(cache: Path) -> None:
    plain = load_dataset(DataSpec.model_validate({"normalize": "unit"}), Streams(1), cache)
    scaled = load_dataset(DataSpec.model_validate({"normalize": "unit_norm"}), Streams(1), cache)
    for ours, source in ((scaled.inputs, plain.inputs), (scaled.test_inputs, plain.test_inputs)):
        some, theirs = ours[:500].flatten(1), source[:500].flatten(1)
        torch.testing.assert_close(some.norm(dim=1), torch.ones(500))
        torch.testing.assert_close(some * theirs.norm(dim=1, keepdim=True), theirs)


def test_a_black_image_stays_black() -> None:
    assert torch.equal(of_unit_norm(torch.zeros(2, 1, 3, 3)), torch.zeros(2, 1, 3, 3))
