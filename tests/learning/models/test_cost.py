"""What a model's training costs: by formulas, and as PyTorch counts it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.made_up import made_up_in
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.models.built_in import MODELS, build_model
from afl_sim.learning.models.cost import ModelCost, counted
from afl_sim.learning.models.cost.measuring import measured

MNIST = SampleForm((1, 28, 28), 10)
CIFAR = SampleForm((3, 32, 32), 100)
ODD = SampleForm((2, 37, 30), 4)
ROWS = SampleForm((13,), 3, "number")
TEXT = SampleForm((12,), 30, "tokens", 30)
TWEETS = SampleForm((9,), 2, "class", 40)

MODELS_TRIED: list[tuple[SampleForm, dict[str, Any]]] = [
    (MNIST, {"kind": "logistic"}),
    (ROWS, {"kind": "linear"}),
    (MNIST, {"kind": "mlp"}),
    (ROWS, {"kind": "mlp", "hidden": [7, 5, 3], "dropout": 0.3}),
    (MNIST, {"kind": "mlp", "hidden": []}),
    (MNIST, {"kind": "lenet"}),
    (ODD, {"kind": "lenet"}),
    (MNIST, {"kind": "cnn"}),
    (ODD, {"kind": "cnn", "channels": [4, 6], "hidden": 9, "padding": 0, "dropout": 0.5}),
    (ODD, {"kind": "cnn", "channels": [4, 6], "hidden": 9, "padding": 1}),
    (CIFAR, {"kind": "vgg9"}),
    (ODD, {"kind": "vgg9", "channels": [3, 4, 5, 6], "hidden": [], "dropout": 0.5}),
    (ODD, {"kind": "vgg9", "channels": [3, 4], "hidden": [8], "dropout": 0.5}),
    (CIFAR, {"kind": "resnet", "depth": 8, "width": 8}),
    (ODD, {"kind": "resnet", "depth": 14, "width": 4, "groups": 2}),
    (ODD, {"kind": "resnet", "depth": 8, "width": 4, "norm": "batch"}),
    *(
        (form, {"kind": "lstm", "embedding": 4, "hidden": 6, **more})
        for form in (TEXT, TWEETS)
        for more in (
            {},
            {"layers": 1},
            {"layers": 3, "readout": "mean", "dropout": 0.5},
            {"projection": 5, "dropout": 0.5},
            {"layers": 1, "dropout": 0.5},
        )
    ),
    *(
        (form, {"kind": "transformer", "width": 8, **more})
        for form in (TEXT, TWEETS)
        for more in (
            {},
            {"layers": 3, "heads": 2, "readout": "last"},
            {"layers": 1, "dropout": 0.5, "feed_forward": 11},
            {"layers": 1, "dropout": 0.5, "readout": "last"},
        )
    ),
]


@pytest.mark.parametrize(("form", "block"), MODELS_TRIED)
def test_the_formula_of_a_built_in_model_gives_what_pytorch_counts(
    form: SampleForm, block: dict[str, Any]
) -> None:
    spec = MODELS[block["kind"]].model_validate(block)
    cost = counted(spec, form)
    draws = torch.Generator().manual_seed(0)
    model = build_model(spec, form, 0)
    assert cost == measured(model, lambda count: made_up_in(form, count, draws)[0])


def test_a_step_of_logistic_regression_has_the_operations_that_one_counts_by_hand() -> None:
    cost = counted(MODELS["logistic"].model_validate({"kind": "logistic"}), MNIST)
    assert cost == ModelCost(15_680, 3136, 0, 7850, 7850)  # 2 x 784 x 10; 784 inputs
    assert 10 * cost.step_flops == 470_400
    # Parameters: read twice, gradient written and read, parameter read and written.
    assert cost.moved_per_step(0) == 4 * 7850 * 6
    assert cost.moved_per_step(2) == 4 * 7850 * 10
    assert cost.moved_per_sample == 5 * 3136
    # Model and gradient, and ten images.
    assert cost.needed(10, 0) == 4 * 2 * 7850 + 10 * 3136
    assert cost.needed(10, 2, 1) == 4 * 5 * 7850 + 10 * 3136


def test_fixed_weights_have_neither_gradients_nor_a_state() -> None:
    spec = MODELS["mlp"].model_validate({"kind": "mlp", "trainable": ["5.*"]})
    assert counted(spec, MNIST) is None
    model = build_model(spec, MNIST, 0)
    cost = measured(model, lambda count: torch.zeros(count, 1, 28, 28))
    assert (cost.parameters, cost.trained) == (199_210, 2010)
    assert cost.kept == 4 * 200  # only the input of the last layer


def test_a_model_that_pytorch_does_not_count_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, None, :] * self.weight).sum(-1)

    with pytest.raises(ScenarioError, match="does not count"):
        measured(Odd(), lambda count: torch.zeros(count, 3))
