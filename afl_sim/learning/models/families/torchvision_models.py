"""Any classification model of torchvision, by its name."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from afl_sim.errors import NotPortable, ScenarioError
from afl_sim.lazy import nn, torch
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.global_draws import global_generators
from afl_sim.learning.models.spec import StandardSpec, image_shape
from afl_sim.scenario.wording import hint
from afl_sim.streams import Streams
from afl_sim.user_code import reason

_CHANNELS = 3
_REFUSED = {
    "weights": "expected none: the run downloads nothing; model.pretrained takes a file of weights",
    "num_classes": "expected none: the data gives it",
    "progress": "expected none: nothing is downloaded",
}


class TorchvisionModel(StandardSpec):
    """A classification model of torchvision, with random weights; `name` is torchvision's.

    Every other key is a keyword argument of torchvision's function. The layers that depend on the
    number of classes have random draws of their own, so that all others start from the same
    weights whatever the number of classes.
    """

    model_config = ConfigDict(extra="allow")
    tried: ClassVar[bool] = True
    kind: Literal["torchvision"] = Field(
        default="torchvision", description="A model of torchvision."
    )
    name: str = Field(description="Torchvision's name, such as mobilenet_v3_small.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = names()
        if self.name not in known:
            raise ValueError(
                f"torchvision has no classification model {self.name!r}; expected one of its "
                f"{len(known)}, such as mobilenet_v3_small or resnet18{hint(self.name, known)}"
            )
        for key in self.model_extra or {}:
            if key in _REFUSED:
                raise ValueError(f"{key}: {_REFUSED[key]}")
        return self

    def build(self, form: SampleForm) -> nn.Module:
        channels, _, _ = image_shape(self.kind, form)
        if channels != _CHANNELS:
            raise ScenarioError(
                f"model: torchvision's models take images of {_CHANNELS} channels, but the inputs "
                f"are {form.inputs}; expected such images, or another model"
            )
        usual = self._made({})  # for its own number of classes
        # The same seed with another number of classes would give wholly other weights.
        with global_generators(Streams(torch.initial_seed()).integer("head")):
            model = self._made({"num_classes": form.outputs})
        _take_weights(model, usual)
        return model

    def _made(self, more: dict[str, Any]) -> nn.Module:
        from torchvision.models import get_model

        try:
            model: nn.Module = get_model(
                self.name, weights=None, **_quiet(self.name), **(self.model_extra or {}), **more
            )
        except NotPortable:  # it is about the run's arithmetic, and no fault of the model
            raise
        except Exception as error:
            raise ScenarioError(f"model: torchvision's {self.name}: {reason(error)}") from error
        return model


def names() -> list[str]:
    """Torchvision's names of its classification models."""
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))


def _quiet(name: str) -> dict[str, Any]:
    """Arguments without which torchvision warns that its default will change."""
    return {"init_weights": True} if name in ("googlenet", "inception_v3") else {}


def _take_weights(model: nn.Module, other: nn.Module) -> None:
    """Copy all parameters and buffers that have the same name and shape in another model."""
    theirs = other.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, tensor in model.state_dict(keep_vars=True).items():
            if name in theirs and theirs[name].shape == tensor.shape:
                tensor.copy_(theirs[name])
