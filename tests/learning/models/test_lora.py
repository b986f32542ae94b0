"""`model.lora`: what is added, trained, sent and saved. Without peft, only that it is asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from places import SMALLEST
from run_checks import digests
from safetensors.torch import load_file
from torch import nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS, build_model
from afl_sim.learning.models.lora import Lora
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.models.state_dict import StateDict
from afl_sim.run.api import load_scenario, simulate

FORM = SampleForm((1, 4, 4), 3)
MLP: dict[str, Any] = {"hidden": [6]}
needs_peft = pytest.mark.skipif(not find_spec("peft"), reason="peft is missing")


@pytest.mark.skipif(find_spec("peft") is not None, reason="peft is there")
def test_without_peft_the_extra_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"^model.lora: .*pip install 'afl-sim\[lora\]'"):
        build_model(MODELS["mlp"](**MLP, lora={}), FORM, 3)


@pytest.mark.parametrize(
    ("layer", "targets", "message"),
    [
        (nn.Linear(4, 4), ["hed"], "'hed' matches no layer; .*did you mean 'head'"),
        (nn.LSTM(4, 4), ["head"], "'head' is a LSTM; expected a Linear, Conv2d or Embedding"),
        (nn.Conv2d(4, 4, 3, groups=2), ["head"], "'head' is a convolution of 2 groups"),
        (nn.ReLU(), None, "the model has no linear layer"),
    ],
)
def test_layers_that_cannot_have_matrices_are_refused(
    layer: nn.Module, targets: Any, message: str
) -> None:
    model = nn.Sequential()
    model.add_module("head", layer)
    with pytest.raises(ScenarioError, match=f"^model.lora.targets: .*{message}"):
        Lora(targets=targets).insert_into(model)


@needs_peft
def test_only_the_matrices_are_in_the_vector_and_at_first_they_change_nothing() -> None:
    plain = build_model(MODELS["mlp"](**MLP), FORM, 3)
    model = build_model(MODELS["mlp"](**MLP, lora={"rank": 2}), FORM, 3)
    layout = ParameterVector(model)
    assert layout.num_parameters == layout.size == 2 * (16 + 6) + 2 * (6 + 3)
    assert all("lora_" in name for name in layout.names)
    images = torch.rand(5, 1, 4, 4)
    assert torch.equal(plain(images), model(images))
    both = build_model(MODELS["mlp"](**MLP, lora={"targets": ["1"]}, trainable=["3.*"]), FORM, 3)
    assert {name.split(".")[0] for name in ParameterVector(both).names} == {"1", "3"}


@needs_peft
def test_what_is_saved_is_merged_and_has_the_usual_names() -> None:
    plain = build_model(MODELS["mlp"](**MLP), FORM, 3)
    model = build_model(MODELS["mlp"](**MLP, lora={"rank": 2, "alpha": 3.0}), FORM, 3)
    layout = ParameterVector(model)
    vector = torch.randn(layout.size, generator=torch.Generator().manual_seed(1))
    saved = StateDict(model, layout).of(vector)
    named = layout.named(vector)
    a, b = named["1.lora_A.default.weight"], named["1.lora_B.default.weight"]
    expected = plain.state_dict()["1.weight"] + 1.5 * b @ a
    torch.testing.assert_close(saved["1.weight"], expected)
    plain.load_state_dict(saved)
    images = torch.rand(5, 1, 4, 4)
    torch.testing.assert_close(plain(images), model(images))


@pytest.mark.slow  # each worker imports peft
@needs_peft
def test_a_run_sends_the_matrices_alone_and_is_the_same_on_workers(tmp_path: Path) -> None:
    settings = [
        "model={kind: mlp, hidden: [5], lora: {rank: 1}}",
        "data.partition.samples=20",
        "evaluation.samples=50",
        "stop.updates=8",
        "clients.network={upload: {latency: 0.1, bandwidth: 1e4}}",
    ]
    alone = simulate(load_scenario(SMALLEST, settings), tmp_path / "run")
    sent = alone.events.query("kind == 'arrived'")["bytes"]
    assert set(sent) == {4 * (784 + 5 + 5 + 10)}
    plain = MODELS["mlp"](hidden=[5]).build(SampleForm((1, 28, 28), 10))
    plain.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    workers = ["execution.executor=processes", "execution.workers=2"]
    assert digests(alone) == digests(simulate(load_scenario(SMALLEST, [*settings, *workers])))
