"""The models a scenario can name.

PyTorch draws the initial weights from its global generator, which `build_model` seeds for that
time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.convolutional import Cnn, LeNet, Vgg9
from afl_sim.learning.models.families.dense import Linear, Logistic, Mlp
from afl_sim.learning.models.families.recurrent import Lstm
from afl_sim.learning.models.families.residual import ResNet
from afl_sim.learning.models.families.torchvision_models import TorchvisionModel
from afl_sim.learning.models.families.transformer import Transformer
from afl_sim.learning.models.global_draws import global_generators
from afl_sim.learning.models.spec import ModelSpec

MODELS: dict[str, type[ModelSpec]] = {
    "logistic": Logistic,
    "linear": Linear,
    "mlp": Mlp,
    "lenet": LeNet,
    "cnn": Cnn,
    "vgg9": Vgg9,
    "resnet": ResNet,
    "lstm": Lstm,
    "transformer": Transformer,
    "torchvision": TorchvisionModel,
}


def build_model(spec: ModelSpec, form: SampleForm, seed: int) -> nn.Module:
    """Build a model whose first weights depend on `seed`, and on the file that the spec may name.

    A factory may draw from the global generators of PyTorch, NumPy or Python.

    Raises:
        ScenarioError: it cannot be built, or the file does not fit.
    """
    with global_generators(seed):
        model = spec.build(form)
        spec.begin(model)
        return model


class _Unfilled(TorchFunctionMode):
    """Draws nothing for weights that have no memory.

    PyTorch imports its compiler to draw normal numbers for them, which takes seconds.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        if func in (torch.Tensor.normal_, nn.init.normal_):
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def count_parameters(spec: ModelSpec, form: SampleForm) -> int:
    """The number of parameters of a built-in model; no memory is used for them.

    Raises:
        ScenarioError: a layer has more entries than can be numbered, or cannot take such samples.
    """
    try:
        with torch.device("meta"), _Unfilled():
            model = spec.build(form)
    except (RuntimeError, TypeError) as error:  # what PyTorch says to sizes beyond 64 bits
        raise ScenarioError(
            f"model: {spec.kind} with a layer of this size has more weights than can be numbered; "
            "expected smaller layers"
        ) from error
    return sum(parameter.numel() for parameter in model.parameters())
