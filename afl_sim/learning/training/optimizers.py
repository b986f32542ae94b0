"""Any class of torch.optim, and the federated optimizers, by name and with checked arguments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol

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

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizer_table import SIGNATURES, Arguments, is_ordinary
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


@cache
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


@cache
def optimizer_class(name: str) -> type[torch.optim.Optimizer] | None:
    """The class of a name, of PyTorch or of `fedopt`; None if there is none that can be used."""
    from afl_sim.learning.training import fedopt  # its classes need PyTorch

    _spare_the_compiler()
    found = getattr(fedopt, name, None) if name.startswith("Fed") else vars(torch.optim).get(name)
    if not inspect.isclass(found) or not issubclass(found, torch.optim.Optimizer):
        return None
    return None if name in _UNSUITABLE else found


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

    def step(self) -> None:
        """Move the parameters along their gradients."""
        with torch.no_grad():
            for parameter in self._params:
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=-self._lr)


class _Class:
    """The class that a spec stands for, which is looked up when it is first asked for."""

    def __get__(
        self, spec: OptimizerSpec | None, owner: type[OptimizerSpec]
    ) -> type[torch.optim.Optimizer]:
        found = optimizer_class(owner.model_fields["kind"].default)
        assert found is not None
        return found


class OptimizerSpec(Checked):
    """An optimizer and its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(description="the name of a torch.optim class")

    optimizer: ClassVar[_Class] = _Class()

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
        if is_ordinary(self.kind, self.model_dump(exclude={"kind"})):
            return self
        try:
            self.build([torch.zeros(1, requires_grad=True)])
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{self.kind} refuses these arguments: {error}") from None
        return self


def _spec_class(name: str, arguments: Arguments) -> type[OptimizerSpec]:
    fields: dict[str, Any] = {"kind": (str, Field(name, description="the optimizer"))}
    for argument, default in arguments.items():
        fields[argument] = (_type_of(default), Field(default, description=f"{argument} of {name}"))
    return create_model(f"{name}Optimizer", __base__=OptimizerSpec, __module__=__name__, **fields)


def signature(optimizer: type[torch.optim.Optimizer]) -> Arguments:
    """The arguments of a class that a scenario can set, with their defaults."""
    found = inspect.signature(optimizer).parameters
    chosen = {n: each.default for n, each in found.items() if n not in _IMPLEMENTATION | _UNWANTED}
    return {n: float(d) if isinstance(d, torch.Tensor) else d for n, d in chosen.items()}


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


class _Optimizers(dict[str, type[OptimizerSpec]]):
    """Also finds those that only a later version of PyTorch has."""

    def get(self, kind: Any, default: Any = None) -> Any:
        if kind not in self and isinstance(kind, str):
            later = optimizer_class(kind)
            if later is not None:
                self[kind] = _spec_class(kind, signature(later))
        return super().get(kind, default)


OPTIMIZERS = _Optimizers({name: _spec_class(name, found) for name, found in SIGNATURES.items()})
"""Settings of every optimizer that takes a plain step, by the name of its class."""


def _by_kind(value: Any) -> Any:
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind")
    spec: type[OptimizerSpec] | None = OPTIMIZERS.get(kind)
    if spec is None:
        near = hint(str(kind), OPTIMIZERS, cutoff=0.4)
        expected = "a class of torch.optim, FedAdagrad, FedAdam or FedYogi"
        raise ValueError(f"unknown optimizer {kind!r}; expected {expected}{near}")
    return spec.model_validate(value)


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
