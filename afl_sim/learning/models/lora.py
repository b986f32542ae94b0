"""``model.lora``: small matrices beside the weights of some layers are trained, through peft.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

from __future__ import annotations

import copy
from typing import Any

from pydantic import Field, PositiveInt

from afl_sim.errors import ScenarioError
from afl_sim.lazy import Tensor, nn
from afl_sim.learning.models.names import matching
from afl_sim.scenario.section import Number, Section
from afl_sim.user_code import reason

_KEY = "model.lora"
ADAPTERS = "*lora_*"
"""The pattern of the names of the matrices that are added."""


class Lora(Section):
    """Low-rank matrices that are trained beside the weights of some layers."""

    rank: PositiveInt = Field(default=4, description="Rank of the matrices that are added.")
    alpha: Number | None = Field(
        default=None,
        gt=0,
        description="The product of the matrices is multiplied by alpha / rank; null: by 1.",
    )
    targets: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Patterns of the names of the layers, such as blocks.*: linear layers, "
        "convolutions without groups, and embeddings. null: all linear layers.",
    )

    def insert_into(self, model: nn.Module) -> None:
        """Put the matrices beside the layers' weights; the model's outputs stay as they are.

        Raises:
            ScenarioError: peft is not installed, or there are no such layers.
        """
        chosen = self._layers(model)
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise ScenarioError(
                f"{_KEY}: it needs the package peft ({error}); install it with "
                "pip install 'afl-sim[lora]'"
            ) from None
        alpha = self.rank if self.alpha is None else self.alpha
        # peft's types ask for a whole alpha, which nothing in it needs.
        settings: Any = {"r": self.rank, "lora_alpha": alpha, "target_modules": chosen}
        try:
            inject_adapter_in_model(LoraConfig(**settings), model)
        except Exception as error:
            raise ScenarioError(f"{_KEY}: {reason(error)}") from error

    def _layers(self, model: nn.Module) -> list[str]:
        layers = {name: each for name, each in model.named_modules() if name}
        if self.targets is None:
            chosen = {name for name, each in layers.items() if type(each) is nn.Linear}
            if not chosen:
                raise ScenarioError(f"{_KEY}.targets: the model has no linear layer; expected some")
            return sorted(chosen)
        adapted = nn.Linear, nn.Conv2d, nn.Embedding
        fit = {name for name, each in layers.items() if type(each) in adapted}
        matched = matching(self.targets, layers, f"{_KEY}.targets", "layer")
        if not matched & fit:
            name = min(matched)
            raise ScenarioError(
                f"{_KEY}.targets: {name!r} is a {type(layers[name]).__name__}; expected a Linear, "
                "Conv2d or Embedding"
            )
        for name in sorted(matched & fit):
            layer = layers[name]
            if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                raise ScenarioError(
                    f"{_KEY}.targets: {name!r} is a convolution of {layer.groups} groups, whose "
                    "matrices could not be merged into its weights; expected patterns without it"
                )
        return sorted(matched & fit)


def merged(model: nn.Module) -> dict[str, Any]:
    """The state dict of a model with the added matrices merged into the weights.

    Args:
        model: with or without such matrices; it is not changed.

    Returns:
        Tensors under the names that the model has without the matrices.
    """
    if not any(_is_adapted(layer) for layer in model.modules()):
        return model.state_dict()
    model = copy.deepcopy(model)
    for layer in model.modules():
        if _is_adapted(layer):
            merge: Any = layer.merge
            merge()
    state: dict[str, Tensor] = model.state_dict()
    return {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in state.items()
        if ".lora_" not in name
    }


def _is_adapted(layer: nn.Module) -> bool:
    return type(layer).__module__.startswith("peft.") and hasattr(layer, "base_layer")
