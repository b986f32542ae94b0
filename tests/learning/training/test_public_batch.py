"""The batch that server and clients have in common: its samples, and its gradient by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from places import SMALLEST
from small_training import CLASSES, data, linear, small_mlp, trainer
from torch import nn

from afl_sim import load_scenario, simulate
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.training.chain_training import ChainTrainer
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.public_batch import PublicBatch, noise, of_validation
from afl_sim.learning.training.trainers import trainer_of
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.api import resume
from afl_sim.streams import Streams


def dataset(held_out: int = 7, **form: Any) -> Dataset:
    images, labels = data()
    shape = SampleForm(**{"input_shape": (1, 1, 4), "outputs": CLASSES} | form)
    validation = images[:held_out] + 100, labels[:held_out]
    return Dataset("own", images, labels, *validation, images, labels, shape)


def by_hand(model: nn.Module, batch: PublicBatch) -> torch.Tensor:
    loss = nn.functional.cross_entropy(model(batch.inputs), batch.labels)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def test_the_gradient_is_that_of_the_mean_loss_at_the_given_model() -> None:
    batch = noise(dataset(), 9, Streams(1))
    found = trainer(linear())
    found.use_public(batch)
    model = small = linear()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
    vector = found.layout.read(small)
    assert torch.allclose(found.public_gradient(vector), by_hand(model, batch), atol=1e-6)
    # Logistic regression at 0: the mean of (1/C - y) x.
    zero = found.public_gradient(torch.zeros_like(vector))
    away = 1 / CLASSES - nn.functional.one_hot(batch.labels, CLASSES).float()
    expected = torch.cat([(away.T @ batch.inputs.flatten(1) / 9).flatten(), away.mean(0)])
    assert torch.allclose(zero, expected, atol=1e-6)


def test_a_chain_in_portable_arithmetic_has_the_same_gradient() -> None:
    batch = noise(dataset(), 70, Streams(1))
    images, labels = data()
    settings = LocalSettings(optimizer=trainer(linear()).settings.optimizer, portable=True)
    with arithmetic_of(True):
        model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES))
        chain = trainer_of(model, images, labels, None, Streams(1), settings)  # type: ignore[arg-type]
        assert isinstance(chain, ChainTrainer)
        chain.use_public(batch)
        found = chain.public_gradient(chain.layout.read(model))
    assert torch.allclose(found, by_hand(model, batch), atol=1e-6)
    with arithmetic_of(True):
        again = chain.public_gradient(chain.layout.read(model))
    assert torch.equal(found, again)


def test_dropout_and_batch_statistics_take_no_part_and_frozen_weights_have_no_gradient() -> None:
    torch.manual_seed(3)
    last = nn.Linear(4, CLASSES)
    last.bias.requires_grad_(False)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), last)
    found = trainer(model)
    found.use_public(noise(dataset(), 9, Streams(1)))
    first = found.public_gradient(found.initial)
    assert torch.equal(found.public_gradient(found.initial), first)
    assert first[-CLASSES:].tolist() == [0.0] * CLASSES
    assert torch.equal(found.layout.read(found.model), found.initial)


def test_training_afterwards_is_what_it_was() -> None:
    def trained(look: bool) -> torch.Tensor:
        found = trainer(small_mlp(), batch_size=4)
        if look:
            found.use_public(noise(dataset(), 5, Streams(1)))
            found.public_gradient(found.initial)
        start = found.initial
        return found.train(0, 0, 5, start, start[: found.layout.num_parameters], 1.0).vector

    assert torch.equal(trained(True), trained(False))


def test_noise_is_standard_normal_with_labels_of_all_classes_and_depends_on_the_seed() -> None:
    batch = noise(dataset(), 3000, Streams(1))
    assert batch.inputs.shape == (3000, 1, 1, 4)
    assert float(batch.inputs.mean()) == pytest.approx(0, abs=0.05)
    assert float(batch.inputs.std()) == pytest.approx(1, abs=0.05)
    assert torch.bincount(batch.labels).tolist() == pytest.approx([1000] * CLASSES, abs=100)
    again, other = noise(dataset(), 3000, Streams(1)), noise(dataset(), 3000, Streams(2))
    assert torch.equal(batch.inputs, again.inputs)
    assert not torch.equal(batch.inputs, other.inputs)
    numbers = noise(dataset(target="number", outputs=2), 5, Streams(1)).labels
    assert (numbers.shape, numbers.dtype) == ((5, 2), torch.float32)


def test_validation_samples_are_different_ones_of_the_held_out_share() -> None:
    batch = of_validation(dataset(), 5, Streams(1))
    assert bool((batch.inputs > 50).all())
    assert len(torch.unique(batch.inputs.flatten(1), dim=0)) == 5


def run(folder: Path, *settings: str, **options: Any) -> Any:
    few = ["model=logistic", "stop.updates=30", "evaluation.samples=200", "data.validation=0.1"]
    few += ["evaluation.every_versions=1"]
    block = "strategy={kind: fedpsa, concurrency: 4, buffer_size: 2, window: 4, batch: validation}"
    return simulate(load_scenario(SMALLEST, [*few, block, *settings]), folder, **options)


def test_any_executor_and_a_resumed_run_give_the_same_model(tmp_path: Path) -> None:
    digest = run(tmp_path / "inline").summary["model_digest"]
    workers = ["execution.executor=processes", "execution.workers=2"]
    assert run(tmp_path / "workers", *workers).summary["model_digest"] == digest
    asked = iter(range(100))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", stop_wanted=lambda: next(asked) == 2)
    assert resume(tmp_path / "broken").summary["model_digest"] == digest
    noisy = run(tmp_path / "noise", "strategy.batch=noise")
    assert noisy.summary["model_digest"] != digest


def test_batched_training_has_it_too(tmp_path: Path) -> None:
    native = run(tmp_path / "exact", "numerics.bits=native")
    batched = run(tmp_path / "batched", "numerics.bits=native", "numerics.mode=batched")
    loss = [each.summary["final"]["loss"] for each in (native, batched)]
    assert loss[0] == pytest.approx(loss[1], rel=1e-3)
