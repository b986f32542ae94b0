"""The models a scenario can name.

PyTorch draws the initial weights from its global generator, which `build_model` seeds for that
time.
"""

from __future__ import annotations

import math

from afl_sim.errors import ScenarioError
from afl_sim.lazy import nn
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


_MOST = 2**63 // 4 - 1  # entries of four bytes that 64 bits can number


def count_parameters(spec: ModelSpec, form: SampleForm) -> int | None:
    """The number of parameters of a model, without building it; None if only the network tells.

    Raises:
        ScenarioError: a layer has more entries than can be numbered, or cannot take such samples.
    """
    entries = spec.entries(form)
    if entries is None:
        return None
    sizes = [math.prod(shape) for shape in entries.parameters.values()]
    if max(sizes) > _MOST:
        raise ScenarioError(
            f"model: {spec.kind} with a layer of this size has more weights than can be numbered; "
            "expected smaller layers"
        )
    return sum(sizes)
