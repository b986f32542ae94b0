"""The gradient of the training objective: what it is taken over, and who may compute it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from places import SMALLEST
from small_training import CLASSES, MEAN_LOSSES, Held, data, linear, small_mlp, trainer
from torch import nn

from afl_sim import load_scenario, simulate
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.recording import Run
from afl_sim.run.api import resume

SCENARIO = SMALLEST


def norm_by_hand(model: nn.Module, held: list[list[int]], loss: str = "cross_entropy") -> float:
    """||sum_i (n_i / n) grad f_i||^2, client by client."""
    images, labels = data()
    total = sum(map(len, held))
    mean = MEAN_LOSSES[loss]
    value = sum(len(own) / total * mean(model(images[own]), labels[own]) for own in held)
    gradients = torch.autograd.grad(value, list(model.parameters()))
    return sum(float(g.double().square().sum()) for g in gradients)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(
    "held", [[[0, 1, 2], [3, 4]], [[0, 1, 2, 3, 4, 5, 6], [7]], [[0, 1, 2], [2, 3], [2]]]
)
def test_clients_count_by_the_samples_they_hold_shared_ones_for_each(
    held: list[list[int]], loss: str
) -> None:
    model = small_mlp()
    found = trainer(model, shards=Held(*held), loss=loss)
    gradient = FullGradient(found, Held(*held), len(held))
    expected = norm_by_hand(small_mlp(), held, loss)
    assert gradient.squared_norm(found.initial) == pytest.approx(expected, rel=1e-5)


def test_it_is_taken_in_batches_that_do_not_matter() -> None:
    sample = data(2500)
    one = FullGradient(trainer(linear(), sample), Held(samples=2500), 1)
    model = linear()
    loss = nn.functional.cross_entropy(model(sample[0]), sample[1])
    exact = sum(
        float(g.double().square().sum())
        for g in torch.autograd.grad(loss, list(model.parameters()))
    )
    assert one.squared_norm(trainer(linear()).initial) == pytest.approx(exact, rel=1e-5)


def test_it_is_zero_at_a_minimum() -> None:
    sample = torch.zeros(CLASSES, 1, 1, 4), torch.arange(CLASSES)  # nothing to tell them apart by
    found = trainer(linear(), sample)
    gradient = FullGradient(found, Held(samples=CLASSES), 1)
    assert gradient.squared_norm(torch.zeros_like(found.initial)) < 1e-12


def test_dropout_and_batch_statistics_take_no_part() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, CLASSES))
    found = trainer(model)
    gradient = FullGradient(found, Held(), 1)
    first = gradient.squared_norm(found.initial)
    assert gradient.squared_norm(found.initial) == first
    assert torch.equal(found.layout.read(found.model), found.initial)


def test_training_afterwards_is_what_it_was() -> None:
    def trained(look: bool) -> torch.Tensor:
        found = trainer(small_mlp(), batch_size=4)
        if look:
            FullGradient(found, Held(), 1).squared_norm(found.initial)
        start = found.initial
        return found.train(0, 0, 5, start, start[: found.layout.num_parameters], 1.0).vector

    assert torch.equal(trained(True), trained(False))


def run(folder: Path, *settings: str, **options: Any) -> Run:
    few = ["model=logistic", "stop.updates=40", "evaluation.samples=200"]
    asked = ["evaluation.squared_gradient_norm=true", "evaluation.every_versions=1"]
    chosen = load_scenario(SCENARIO, [*few, *asked, *settings])
    return simulate(chosen, folder, **options)


def test_any_executor_gives_the_same_norms(tmp_path: Path) -> None:
    inline = run(tmp_path / "inline").metrics["squared_gradient_norm"]
    elsewhere = run(
        tmp_path / "workers", "execution.executor=processes", "execution.workers=2"
    ).metrics["squared_gradient_norm"]
    assert inline.tolist() == elsewhere.tolist()
    assert len(inline) > 2
    assert (inline > 0).all()
    assert inline.nunique() > 2


def test_looking_at_the_gradient_does_not_change_the_run(tmp_path: Path) -> None:
    looked = run(tmp_path / "a")
    blind = run(tmp_path / "b", "evaluation.squared_gradient_norm=false")
    assert blind.metrics["squared_gradient_norm"].isna().all()
    assert looked.summary["model_digest"] == blind.summary["model_digest"]
    assert looked.metrics["loss"].tolist() == blind.metrics["loss"].tolist()


def test_a_resumed_run_has_the_norms_of_one_that_went_through(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    asked = iter(range(100))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", stop_wanted=lambda: next(asked) == 2)
    assert resume(tmp_path / "broken").metrics.equals(whole.metrics)
