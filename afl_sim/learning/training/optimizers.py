"""Any class of torch.optim, and the federated optimizers, by name and with checked arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol

import torch
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializeAsAny,
    create_model,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from torch import Tensor

from afl_sim.learning.training.fedopt import FedAdagrad, FedAdam, FedYogi
from afl_sim.scenario.section import Checked, within_float32
from afl_sim.scenario.wording import hint

# Optimizers that need a closure, sparse gradients or matrices cannot take a plain step.
_UNSUITABLE = frozenset({"Optimizer", "LBFGS", "SparseAdam", "Muon"})
# Arguments that change how a step is computed, not its result.
_IMPLEMENTATION = frozenset({"params", "foreach", "fused", "capturable", "differentiable"})
# Those that treat each entry by itself.
_BY_ENTRY = frozenset(
    {"ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"}
    | {"Rprop", "SGD", "FedAdagrad", "FedAdam", "FedYogi"}
)
# Ascent is not training.
_UNWANTED = frozenset({"maximize"})


def _spare_the_compiler() -> None:
    """Let optimizers be built without importing torch's compiler.

    Torch wraps some methods of `torch.optim.Optimizer` so that its compiler does not trace them. It
    imports that compiler (1.6 s) when one of them is first called. Nothing here is compiled, so
    each method is marked as its own untraced version. If another version of torch stores this mark
    elsewhere, this has no effect.
    """
    for method in vars(torch.optim.Optimizer).values():
        wrapped, code = getattr(method, "__wrapped__", None), getattr(method, "__code__", None)
        if wrapped is not None and code is not None and code.co_filename.endswith("_compile.py"):
            wrapped.__dynamo_disable = wrapped


_spare_the_compiler()


class Stepper(Protocol):
    """The part of an optimizer that a training loop uses."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Move the parameters along their gradients."""


class PlainSGD:
    """``w <- w - lr g``: the same bits as `torch.optim.SGD`, without its bookkeeping.

    On a small network that bookkeeping takes a twentieth of a step.
    """

    def __init__(self, params: Sequence[Tensor], lr: float) -> None:
        self._params = params
        self._lr = lr

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._params:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters along their gradients."""
        for parameter in self._params:
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-self._lr)


class OptimizerSpec(Checked):
    """An optimizer and its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(description="the name of a torch.optim class")

    optimizer: ClassVar[type[torch.optim.Optimizer]]

    def build(self, params: Iterable[Tensor], lr_factor: float = 1.0) -> torch.optim.Optimizer:
        """The optimizer over ``params``, its learning rate multiplied by ``lr_factor``."""
        arguments = self.model_dump(exclude={"kind"})
        arguments["lr"] *= lr_factor
        return self.optimizer(params, **arguments)

    def stepper(self, params: Sequence[Tensor], lr_factor: float = 1.0) -> Stepper:
        """The optimizer of a task, or a faster one that computes the same bits."""
        rate = self.plain_rate(lr_factor)
        return self.build(params, lr_factor) if rate is None else PlainSGD(params, rate)

    def plain_rate(self, lr_factor: float = 1.0) -> float | None:
        """The learning rate of plain SGD; None for any other optimizer."""
        rate, decay = self.rate_and_decay(lr_factor) or (None, 0.0)
        return None if decay else rate

    def rate_and_decay(self, lr_factor: float = 1.0) -> tuple[float, float] | None:
        """Learning rate and weight decay of SGD without momentum; None for any other optimizer."""
        arguments = self.model_dump(include={"lr", "momentum", "weight_decay"})
        if self.kind != "SGD" or arguments["momentum"]:
            return None
        return float(arguments["lr"] * lr_factor), float(arguments["weight_decay"])

    @property
    def by_entry(self) -> bool:
        """Whether each entry of a parameter is treated by itself, whatever its tensor's shape."""
        return self.kind in _BY_ENTRY

    @model_validator(mode="after")
    def _acceptable_to_torch(self) -> OptimizerSpec:
        try:
            self.build([torch.zeros(1, requires_grad=True)])
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{self.kind} refuses these arguments: {error}") from None
        return self


def _spec_class(name: str, optimizer: type[torch.optim.Optimizer]) -> type[OptimizerSpec]:
    fields: dict[str, Any] = {"kind": (str, Field(name, description="the optimizer"))}
    for argument, parameter in inspect.signature(optimizer).parameters.items():
        if argument in _IMPLEMENTATION | _UNWANTED:
            continue
        default = parameter.default
        if isinstance(default, Tensor):
            default = float(default)
        fields[argument] = (_type_of(default), Field(default, description=f"{argument} of {name}"))
    made = create_model(f"{name}Optimizer", __base__=OptimizerSpec, __module__=__name__, **fields)
    made.optimizer = optimizer
    return made


def __getattr__(name: str) -> type[OptimizerSpec]:
    # The classes that are made here can be found by name, so that they can be pickled.
    for spec in OPTIMIZERS.values():
        if spec.__name__ == name:
            return spec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


Factor = Annotated[float, AfterValidator(within_float32)]


def _type_of(default: Any) -> Any:
    if default is None:
        return Factor | None
    if isinstance(default, bool):
        return bool
    if isinstance(default, tuple):
        return tuple[tuple(Factor | None if item is None else Factor for item in default)]  # type: ignore[misc]
    return type(default) if isinstance(default, str) else Factor


OPTIMIZERS: dict[str, type[OptimizerSpec]] = {
    name: _spec_class(name, member)
    for name, member in (
        *vars(torch.optim).items(),
        *((cls.__name__, cls) for cls in (FedAdagrad, FedAdam, FedYogi)),
    )
    if inspect.isclass(member)
    and issubclass(member, torch.optim.Optimizer)
    and name not in _UNSUITABLE
}
"""Settings of every optimizer that takes a plain step, by the name of its class."""


def _by_kind(value: Any) -> Any:
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind")
    if kind not in OPTIMIZERS:
        near = hint(str(kind), OPTIMIZERS, cutoff=0.4)
        expected = "a class of torch.optim, FedAdagrad, FedAdam or FedYogi"
        raise ValueError(f"unknown optimizer {kind!r}; expected {expected}{near}")
    return OPTIMIZERS[kind].model_validate(value)


class _AnyOfThem:
    """The JSON Schema of a field that takes any of `OPTIMIZERS`."""

    @staticmethod
    def __get_pydantic_json_schema__(
        _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        named = [{"$ref": f"#/$defs/{spec.__name__}"} for spec in OPTIMIZERS.values()]
        return {"anyOf": [*named, {"enum": list(OPTIMIZERS)}]}


AnyOptimizer = Annotated[SerializeAsAny[OptimizerSpec], BeforeValidator(_by_kind), _AnyOfThem()]
"""A field that takes any of `OPTIMIZERS`, told apart by ``kind``."""
