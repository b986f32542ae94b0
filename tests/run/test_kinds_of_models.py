"""Recurrent, normalised and torchvision's models in runs: with any executor, in pieces, saved."""

from __future__ import annotations

from pathlib import Path

import own_models
import pytest
import torch
from places import SMALLEST
from run_checks import digests, every
from safetensors.torch import load_file

from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.scenario import Scenario

SHORT = ["data.partition.samples=23", "evaluation.samples=1001", "stop.updates=9"]
WORKERS = ["execution.executor=processes", "execution.workers=2"]


def scenario(model: str, *settings: str) -> Scenario:
    return load_scenario(SMALLEST, [f"model={model}", *SHORT, *settings])


def own(name: str) -> str:
    return f"{{kind: 'own_models:{name}'}}"


def test_two_layers_of_lstm_in_native_bits_are_the_same_on_workers_and_in_pieces(
    tmp_path: Path,
) -> None:
    """Their bits depend on the size of a batch, and on whether gradients are computed."""
    native = "numerics.bits=native"
    model = own("two_layers_of_lstm")
    native = ["numerics.bits=native", "strategy={kind: fedasync, concurrency: 4}"]
    alone = simulate(scenario(model, *native))
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario(model, *native), tmp_path / "run", stop_wanted=every(4))
    apart = simulate(scenario(model, *native, *WORKERS))
    for other in (apart, resume(tmp_path / "run")):
        assert digests(alone) == digests(other)
        assert alone.metrics.equals(other.metrics)


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm", "old_spectral_norm"])
def test_a_normalised_layer_is_the_same_on_workers_and_loads_strictly(
    name: str, tmp_path: Path
) -> None:
    alone = simulate(scenario(own(name)), tmp_path / "run")
    assert digests(alone) == digests(simulate(scenario(own(name), *WORKERS)))
    module = getattr(own_models, name)()
    before = [weight.detach().clone() for weight in module.parameters()]
    module.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    pairs = zip(module.parameters(), before, strict=True)
    assert not any(torch.equal(after, first) for after, first in pairs)


@pytest.mark.parametrize("model", ["{kind: resnet, depth: 8, width: 4, norm: batch, groups: 1}"])
def test_a_saved_model_of_batch_statistics_loads_strictly(model: str, tmp_path: Path) -> None:
    done = simulate(scenario(model, "stop.updates=3"), tmp_path / "run")
    module = MODELS["resnet"](depth=8, width=4, norm="batch", groups=1)
    built = module.build(SampleForm((1, 28, 28), 10))
    built.load_state_dict(load_file(done.path / "model.safetensors"))
    assert built.norm.running_mean.any()
