"""Models of fully connected layers."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from afl_sim.lazy import nn
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.entries import Entries, linear
from afl_sim.learning.models.spec import StandardSpec, dropout, features
from afl_sim.learning.models.truncated import draw_truncated


class Logistic(StandardSpec):
    """Multinomial logistic regression: one linear layer (7,850 parameters on MNIST)."""

    portable: ClassVar[bool] = True
    kind: Literal["logistic"] = Field(default="logistic", description="Logistic regression.")

    def build(self, form: SampleForm) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(features(self.kind, form), form.outputs))

    def entries(self, form: SampleForm) -> Entries:
        return linear("1", features(self.kind, form), form.outputs)


class Linear(StandardSpec):
    """Linear regression: one linear layer, as `logistic` has."""

    portable: ClassVar[bool] = True
    kind: Literal["linear"] = Field(default="linear", description="Linear regression.")

    def build(self, form: SampleForm) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(features(self.kind, form), form.outputs))

    def entries(self, form: SampleForm) -> Entries:
        return linear("1", features(self.kind, form), form.outputs)


class Mlp(StandardSpec):
    """Fully connected layers with ReLU; 784-200-200-10 is McMahan et al.'s 2NN (199,210)."""

    portable: ClassVar[bool] = True
    kind: Literal["mlp"] = Field(default="mlp", description="Multilayer perceptron.")
    hidden: tuple[int, ...] = Field(
        default=(200, 200), description="Widths of the hidden layers, in order (units)."
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Probability of dropping a hidden unit in training, after each hidden layer.",
    )
    weights: Literal["default", "xavier", "truncated"] = Field(
        default="default",
        description="Initial weights; xavier: Glorot and Bengio's, uniform, with biases of zero; "
        "truncated: those of TensorFlow's example of 2015, normal with a standard deviation of 0.1 "
        "and without what is beyond two of these, with biases of 0.1.",
    )

    @model_validator(mode="after")
    def _widths_are_positive(self) -> Self:
        for index, width in enumerate(self.hidden):
            if width < 1:
                raise ValueError(f"hidden[{index}] is {width}; expected at least 1")
        return self

    def build(self, form: SampleForm) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        width = features(self.kind, form)
        for units in self.hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), *dropout(self.dropout)]
            width = units
        model = nn.Sequential(*layers, nn.Linear(width, form.outputs))
        for layer in model:
            if isinstance(layer, nn.Linear):
                self._draw(layer)
        return model

    def _draw(self, layer: nn.Linear) -> None:
        if self.weights == "xavier":
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif self.weights == "truncated":
            draw_truncated(layer)

    def entries(self, form: SampleForm) -> Entries:
        width, place, found = features(self.kind, form), 1, Entries()
        for units in self.hidden:
            found += linear(f"{place}", width, units)
            width, place = units, place + (3 if self.dropout else 2)
        return found + linear(f"{place}", width, form.outputs)
