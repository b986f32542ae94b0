"""`model.pretrained` and `model.trainable`: what a run starts from, and what of it moves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from places import SMALLEST
from run_checks import digests
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS, build_model
from afl_sim.learning.models.fixed import fix_all_but
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.batchable import batching_problems
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.preparation import prepare
from afl_sim.scenario import scenario_id

IMAGES = SampleForm((3, 8, 8), 4)
RESNET = {"kind": "resnet", "depth": 8, "width": 4, "groups": 2}
STAGE = ["stage3.0.norm1.bias", "stage3.0.norm2.bias"]
MLP = "kind: mlp, hidden: [5]"
NAMES = ("1.weight", "1.bias", "3.weight", "3.bias")  # of that model
SHORT = ["data.partition.samples=20", "evaluation.samples=50", "stop.updates=8"]


def weights(**changes: Tensor | None) -> dict[str, Tensor]:
    """A state dict of the model `MLP`, with some tensors changed or left out."""
    draws = torch.Generator().manual_seed(3)
    shapes = ((5, 784), (5,), (10, 5), (10,))
    found: dict[str, Tensor | None] = {
        name: torch.randn(shape, generator=draws) / 10
        for name, shape in zip(NAMES, shapes, strict=True)
    }
    found |= {name.replace("_", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "first.safetensors"
    save_file(weights(), path)
    return path


def model(settings: str) -> str:
    return f"model={{{MLP}, {settings}}}"


def initial(*settings: str) -> Tensor:
    return prepare(load_scenario(SMALLEST, settings)).initial


# -- pretrained ------------------------------------------------------------------------------------


def test_a_run_starts_from_the_weights_of_the_file(file: Path) -> None:
    vector = initial(model(f"pretrained: {file}"))
    assert torch.equal(vector, torch.cat([weights()[name].flatten() for name in NAMES]))


def test_the_file_is_looked_for_beside_the_scenario(file: Path) -> None:
    text = SMALLEST.read_text().replace(
        "model: logistic", f"model: {{{MLP}, pretrained: first.safetensors}}"
    )
    scenario = file.with_name("scenario.yaml")
    scenario.write_text(text)
    found: Any = load_scenario(scenario).model
    assert found.pretrained.file == str(file)


def test_the_content_of_the_file_is_part_of_a_runs_identity(file: Path, tmp_path: Path) -> None:
    def identity(path: Path) -> str:
        return scenario_id(load_scenario(SMALLEST, [model(f"pretrained: {path}")]))

    before = identity(file)
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(file.read_bytes())
    assert identity(moved) == before
    save_file(weights(**{"1_bias": torch.ones(5)}), moved)
    assert identity(moved) != before
    assert scenario_id(load_scenario(SMALLEST, [f"model={{{MLP}}}"])) != before


def test_a_file_that_has_changed_since_the_scenario_was_read_is_refused(file: Path) -> None:
    scenario = load_scenario(SMALLEST, [model(f"pretrained: {file}")])
    save_file(weights(**{"1_bias": torch.ones(5)}), file)
    with pytest.raises(ScenarioError, match=r"^model.pretrained: .* has changed: its sha256"):
        prepare(scenario, timing_only=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"3_bias": None}, r"has no '3.bias', which the model has; expected it, or"),
        ({"3_bias": None, "3_bia": torch.ones(10)}, r"has no '3.bias'.*did you mean '3.bia'\?"),
        ({"fc_bias": torch.ones(10)}, r"has 'fc.bias', which the model has not"),
        ({"3_bias": torch.ones(7)}, r"'3.bias' in .* has shape \(7,\); the model needs \(10,\)"),
        ({"3_bias": torch.ones(10).int()}, "'3.bias' in .* is int32; the model needs float32"),
        ({"3_bias": torch.full((10,), torch.nan)}, "'3.bias' in .* not finite"),
    ],
)
def test_the_first_thing_that_does_not_fit_is_one_line(
    changes: dict, message: str, file: Path
) -> None:
    save_file(weights(**changes), file)
    with pytest.raises(ScenarioError, match=f"^model.pretrained: .*{message}") as caught:
        initial(model(f"pretrained: {file}"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_of_weights_is_one_line(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ScenarioError, match=r"^model.pretrained: .* is damaged"):
        initial(model(f"pretrained: {file}"))
    for path, message in (
        (tmp_path / "frist.safetensors", r"does not exist; .*first.safetensors"),
        (tmp_path, "is a folder; expected a file"),
    ):
        with pytest.raises(ScenarioError, match=message) as caught:
            load_scenario(SMALLEST, [model(f"pretrained: {path}")])
        assert "\n" not in str(caught.value)


def test_what_is_skipped_starts_from_random_weights(file: Path) -> None:
    save_file(weights(**{"3_weight": torch.ones(1000, 5), "3_bias": None}), file)
    vector = initial(model(f"pretrained: {{file: {file}, skip: ['3.*']}}"))
    random = initial(f"model={{{MLP}}}")
    assert torch.equal(vector[: 5 * 784], weights()["1.weight"].flatten())
    assert torch.equal(vector[-60:], random[-60:])
    with pytest.raises(ScenarioError, match=r"skip: 'four.\*' matches no parameter"):
        initial(model(f"pretrained: {{file: {file}, skip: ['four.*']}}"))


def test_half_precision_is_read_exactly_and_any_name_of_a_tied_weight_will_do(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "tied_models.py").write_text(TIED)
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.delitem(sys.modules, "tied_models", raising=False)
    save_file({"second.weight": torch.full((784, 784), 0.5, dtype=torch.bfloat16)}, file)
    vector = initial(f"model={{kind: 'tied_models:Tied', pretrained: {file}}}")
    assert vector.shape == (784 * 784,)
    assert (vector == 0.5).all()


TIED = """
from torch import nn


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Linear(784, 784, bias=False) for _ in range(2))
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x.flatten(1)))


def own(pretrained, trainable="some"):
    assert (pretrained, trainable) == (True, "all")
    return Tied()
"""


def test_a_factory_with_such_a_parameter_gets_the_value_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tied_models.py").write_text(TIED)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tied_models", raising=False)
    block = "model={kind: 'tied_models:own', pretrained: true, trainable: all}"
    assert initial(block).shape == (784 * 784,)


# -- trainable -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("head.*",), ["head.weight", "head.bias"]),
        (("conv.weight", "stage3.0.norm?.bias"), ["conv.weight", *STAGE]),
    ],
)
def test_only_what_matches_is_in_the_vector(patterns: tuple, names: list) -> None:
    built = build_model(MODELS["resnet"](**RESNET, trainable=patterns), IMAGES, 3)
    layout = ParameterVector(built)
    assert list(layout.names) == names
    assert layout.size == sum(built.state_dict()[name].numel() for name in names)


def test_a_pattern_that_matches_nothing_names_the_nearest() -> None:
    layers = nn.Sequential()
    layers.add_module("body", nn.Linear(3, 3))
    layers.add_module("head", nn.Linear(3, 2))
    with pytest.raises(ScenarioError) as caught:
        fix_all_but(layers, ("haed.*",))
    assert str(caught.value) == (
        "model.trainable: 'haed.*' matches no parameter; expected a pattern such as body.weight or "
        "head.*; did you mean 'head.*'?"
    )


def test_fixed_statistics_are_used_in_training_too() -> None:
    settings = {**RESNET, "norm": "batch"}
    whole = build_model(MODELS["resnet"](**settings), IMAGES, 3)
    built = build_model(MODELS["resnet"](**settings, trainable=("head.*",)), IMAGES, 3)
    images = torch.randn(5, 3, 8, 8)
    before = built.state_dict()["norm.running_mean"].clone()
    assert torch.equal(built.train()(images), built.eval()(images))
    assert torch.equal(built.state_dict()["norm.running_mean"], before)
    assert not torch.equal(whole.train()(images), whole.eval()(images))
    moving = build_model(
        MODELS["resnet"](**settings, trainable=("head.*", "*running_*")), IMAGES, 3
    )
    assert not torch.equal(moving.train()(images), moving.eval()(images))
    assert len(ParameterVector(moving).names) > 2


def test_what_matches_is_trained_even_if_the_model_froze_it() -> None:
    layers = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)).requires_grad_(False)
    fix_all_but(layers, ("1.*",))
    assert [p.requires_grad for p in layers.parameters()] == [False, False, True, True]


def test_a_tied_weight_moves_if_one_of_its_names_matches() -> None:
    layers = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    layers[1].weight = layers[0].weight
    fix_all_but(layers, ("1.*",))
    assert ParameterVector(layers).names == ("0.weight",)


def test_a_model_with_fixed_parts_can_be_batched() -> None:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    fix_all_but(layers, ("3.*",))
    assert list(batching_problems(layers, "SGD", torch.rand(6, 1, 2, 2))) == []


NETWORK = "clients.network={upload: {latency: 0.1, bandwidth: 1e4}, download: {bandwidth: 1e5}}"


def run(folder: Path, *settings: str) -> Any:
    return simulate(load_scenario(SMALLEST, [*SHORT, NETWORK, *settings]), out=folder)


@pytest.mark.parametrize("bits", ["portable", "native"])
def test_fixed_parts_stay_and_do_not_travel(tmp_path: Path, file: Path, bits: str) -> None:
    settings = (model(f"pretrained: {file}, trainable: ['3.*']"), f"numerics.bits={bits}")
    done = run(tmp_path / "run", *settings)
    saved = load_file(tmp_path / "run" / "model.safetensors")
    first = weights()
    assert set(saved) == set(NAMES)
    for name in NAMES:
        assert torch.equal(saved[name], first[name]) == name.startswith("1.")
    sent = done.events.query("kind == 'arrived'")["bytes"]
    assert set(sent) == {4 * 60}
    whole = run(tmp_path / "whole", model(f"pretrained: {file}"), f"numerics.bits={bits}")
    assert set(whole.events.query("kind == 'arrived'")["bytes"]) == {4 * (785 * 5 + 60)}
    assert done.summary["virtual_seconds"] < whole.summary["virtual_seconds"]


def test_a_run_with_fixed_parts_is_the_same_on_workers(tmp_path: Path, file: Path) -> None:
    block = model(f"pretrained: {file}, trainable: ['3.*']")
    alone = run(tmp_path / "alone", block)
    apart = run(tmp_path / "apart", block, "execution.executor=processes", "execution.workers=2")
    assert digests(alone) == digests(apart)
