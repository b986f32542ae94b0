"""How the inputs of own data are normalised."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_files import npz, own

from afl_sim.errors import ScenarioError
from afl_sim.learning.data import float_moments as moments
from afl_sim.learning.data.datasets import load_dataset, made_up
from afl_sim.learning.data.float_moments import float_moments
from afl_sim.streams import Streams

LABELS = np.arange(30) % 3


def loaded(tmp_path: Path, inputs: np.ndarray, normalize: str = "standard", **more: Any) -> Any:
    train = npz(tmp_path / "a.npz", inputs=inputs, labels=LABELS)
    test = npz(tmp_path / "b.npz", inputs=inputs[:3] + inputs.dtype.type(1), labels=LABELS[:3])
    block = {"kind": "files", "train": train, "test": test, **more}
    return load_dataset(own(block, normalize=normalize), Streams(1))


def test_vectors_are_standardised_by_feature_of_the_training_set(tmp_path: Path) -> None:
    inputs = np.random.default_rng(1).normal(5, [1, 100, 0], (30, 3)).astype(np.float32)
    found = loaded(tmp_path, inputs)
    mean, deviation = inputs.astype(float).mean(axis=0), inputs.astype(float).std(axis=0)
    deviation[2] = 1  # a feature that never changes becomes 0
    expected = (inputs - mean) / deviation
    assert found.inputs.numpy() == pytest.approx(expected, abs=1e-5)
    assert found.test_inputs.numpy() == pytest.approx((inputs[:3] + 1 - mean) / deviation, abs=1e-5)


def test_images_of_floats_are_standardised_by_channel(tmp_path: Path) -> None:
    inputs = np.random.default_rng(2).normal(0, 1, (30, 3, 4, 5)).astype(np.float32)
    inputs[:, 1] *= 50
    found = loaded(tmp_path, inputs).inputs.double()
    assert found.mean(dim=(0, 2, 3)).numpy() == pytest.approx([0, 0, 0], abs=1e-5)
    assert found.std(dim=(0, 2, 3), correction=0).numpy() == pytest.approx([1, 1, 1], abs=1e-5)


def test_raw_numbers_stay_as_they_are(tmp_path: Path) -> None:
    inputs = np.random.default_rng(3).normal(size=(30, 4)).astype(np.float32)
    assert np.array_equal(loaded(tmp_path, inputs, "raw").inputs.numpy(), inputs)


def test_images_of_bytes_have_all_kinds(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 200, (30, 5, 5), dtype=np.uint8)
    assert loaded(tmp_path, pixels, "unit").inputs.max() <= 1
    assert loaded(tmp_path, pixels, "pixelwise").inputs.shape == (30, 1, 5, 5)


@pytest.mark.parametrize("tokens", [False, True])
def test_other_inputs_refuse_the_kinds_of_bytes(tokens: bool, tmp_path: Path) -> None:
    inputs = np.ones((30, 4), dtype=np.int64 if tokens else np.float32)
    more = {"type": "tokens"} if tokens else {}
    found = "tokens" if tokens else "float32"
    with pytest.raises(
        ScenarioError, match=f"data.normalize: unit .* are {found}; expected standard or raw"
    ):
        loaded(tmp_path, inputs, "unit", **more)


def test_tokens_are_never_normalised(tmp_path: Path) -> None:
    inputs = np.random.default_rng(5).integers(0, 7, (30, 4))
    found = loaded(tmp_path, inputs, type="tokens")
    assert np.array_equal(found.inputs.numpy(), inputs)
    assert found.inputs.dtype == torch.int64


def test_moments_are_those_of_exact_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(6)
    inputs = (draws.normal(size=(333, 2, 3)) * 10.0 ** draws.integers(-6, 6, (333, 2, 3))).astype(
        np.float32
    )
    exact = [sum(map(Fraction, inputs[:, g].reshape(-1).tolist())) / 999 for g in range(2)]
    mean, deviation = float_moments(inputs, 2)
    assert mean.tolist() == pytest.approx([float(x) for x in exact], rel=1e-13)
    wide = inputs.astype(np.float64)
    squares = [
        math.fsum(((wide[:, g] - mean[g]) ** 2).reshape(-1).tolist()) / 999 for g in range(2)
    ]
    assert deviation.tolist() == pytest.approx([math.sqrt(x) for x in squares], rel=1e-12)
    monkeypatch.setattr(moments, "_NUMBERS", 64)  # many blocks
    monkeypatch.setattr(moments, "_WIDE", 8)
    in_blocks = float_moments(inputs, 2)
    assert in_blocks[0].tolist() == pytest.approx(mean.tolist(), rel=1e-13)
    assert in_blocks[1].tolist() == pytest.approx(deviation.tolist(), rel=1e-13)


def test_made_up_samples_have_the_form_of_the_data(tmp_path: Path) -> None:
    tokens = npz(
        tmp_path / "a.npz",
        inputs=np.random.default_rng(7).integers(0, 7, (30, 4)),
        labels=np.random.default_rng(8).normal(size=30),
    )
    inputs, labels = made_up(
        own({"kind": "files", "train": tokens, "test_share": 0.5, "type": "tokens"}), 6
    )
    assert (inputs.dtype, tuple(inputs.shape)) == (torch.int64, (6, 4))
    assert (labels.dtype, tuple(labels.shape)) == (torch.float32, (6, 1))
