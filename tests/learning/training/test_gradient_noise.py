"""Noise that is added to gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_training import SAMPLES, SEED, linear, sgd, train, trainer
from torch import Tensor

from afl_sim.streams import Streams

pytestmark = pytest.mark.usefixtures("as_in_a_run")


def noise_of(client: int, task: int, size: int) -> Tensor:
    draws = Streams(SEED).generator("gradient_noise", client, task)
    return torch.from_numpy(draws.standard_normal(size, dtype=np.float32))


def test_gradient_noise_is_the_stream_s_and_has_its_standard_deviation() -> None:
    plain = train(trainer(linear(), gradient=True), client=3, task=2)
    noisy = train(trainer(linear(), gradient=True, gradient_noise=0.5), client=3, task=2)
    added = plain.delta - noisy.delta
    torch.testing.assert_close(added, 0.5 * noise_of(3, 2, len(added)), rtol=1e-4, atol=1e-5)
    assert noisy.loss == plain.loss
    other = train(trainer(linear(), gradient=True, gradient_noise=0.5), client=3, task=3)
    assert not torch.equal(other.delta, noisy.delta)


def test_every_step_has_noise_of_its_own() -> None:
    draws = Streams(SEED).generator("gradient_noise", 0, 0)
    lr, sigma = 0.1, 1e3  # next to which the gradient is nothing
    result = train(trainer(linear(), optimizer=sgd(lr), gradient_noise=sigma), steps=2)
    size = len(result.delta)
    both = sum(draws.standard_normal(size, dtype=np.float32) for _ in range(2))
    torch.testing.assert_close(
        result.delta, torch.from_numpy(-lr * sigma * both), rtol=1e-2, atol=0.5
    )


def test_the_noise_of_several_batches_is_averaged_with_them() -> None:
    def gradient(sigma: float) -> Tensor:
        local = trainer(linear(), gradient=True, batch_size=SAMPLES, gradient_noise=sigma)
        return train(local, steps=2).delta

    draws = Streams(SEED).generator("gradient_noise", 0, 0)
    size = len(gradient(0.0))
    mean = sum(draws.standard_normal(size, dtype=np.float32) for _ in range(2)) / 2
    torch.testing.assert_close(
        gradient(0.0) - gradient(2.0), torch.from_numpy(2 * mean), rtol=1e-4, atol=1e-5
    )


def test_shared_noise_is_one_number_for_all_entries_of_a_gradient() -> None:
    def gradient(sigma: float, task: int) -> Tensor:
        local = trainer(linear(), gradient=True, gradient_noise=sigma, shared_noise=True)
        return train(local, task=task).delta

    for task in (2, 3):
        added = gradient(0.0, task) - gradient(0.5, task)
        drawn = 0.5 * noise_of(0, task, 1)
        torch.testing.assert_close(added, drawn.expand(len(added)), rtol=1e-4, atol=1e-5)


def test_clipping_covers_the_noise() -> None:
    noisy = train(trainer(linear(), gradient=True, gradient_noise=100.0, clip_norm=1.0))
    assert float(noisy.delta.norm()) == pytest.approx(1, rel=1e-4)
