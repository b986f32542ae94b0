"""A user's own models: how ``package.module:factory`` is found and called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, create_model, model_validator

from afl_sim.errors import NotPortable, ScenarioError
from afl_sim.lazy import nn
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.spec import ModelSpec, StandardSpec
from afl_sim.scenario.own_rules import load
from afl_sim.user_code import reason


class CustomModel(ModelSpec):
    """A user's own factory. Every other key of the block is a keyword argument of the factory.

    The factory also gets ``input_shape``, ``classes``, ``vocabulary`` and ``form``, those of the
    samples' `SampleForm`, if it has parameters with these names and the block does not set them.
    The keys of `StandardSpec` are not passed on, unless it has parameters with their names.
    """

    model_config = ConfigDict(extra="allow")
    tried: ClassVar[bool] = True
    factory: ClassVar[Callable[..., Any]]

    @model_validator(mode="after")
    def _arguments_fit(self) -> Self:
        signature = _signature(type(self).factory)
        if signature is not None:
            try:
                signature.bind(**self._arguments(SampleForm((1, 1, 1), 1)))
            except TypeError as error:
                raise ValueError(f"{self.kind}{signature}: {error}") from None
        return self

    def __reduce__(self) -> Any:
        """Pickle the factory's name, because the class exists only after that name was resolved."""
        return _resolved, (self.model_dump(by_alias=True),)

    def _arguments(self, form: SampleForm) -> dict[str, Any]:
        given = dict(self.model_extra or {})
        signature = _signature(type(self).factory)
        offered = {
            "input_shape": form.input_shape,
            "classes": form.outputs,
            "vocabulary": form.vocabulary,
            "form": form,
        }
        named = signature.parameters if signature is not None else {}
        return {name: value for name, value in offered.items() if name in named} | given

    def build(self, form: SampleForm) -> nn.Module:
        try:
            module = type(self).factory(**self._arguments(form))
        except NotPortable:  # it is about the run's arithmetic, and no fault of the factory
            raise
        except (Exception, SystemExit) as error:
            raise ScenarioError(f"model: {self.kind} failed: {reason(error)}") from error
        if not isinstance(module, nn.Module):
            raise ScenarioError(
                f"model: {self.kind} returned {type(module).__name__}; expected a torch.nn.Module"
            )
        return module


def resolve_model(name: str) -> type[CustomModel]:
    """The spec class of a user's own factory, ``package.module:factory``.

    Raises:
        ScenarioError: no such module or attribute, it fails to import, or it cannot be called.
    """
    factory = load(name, "model")
    if not callable(factory):
        raise ScenarioError(f"{name} cannot be called; expected a function returning a module")
    literal: Any = Literal[name]
    signature = _signature(factory)
    taken = signature.parameters if signature is not None else {}
    shared: dict[str, Any] = {
        key: (field.annotation, field)
        for key, field in StandardSpec.model_fields.items()
        if key != "kind" and key not in taken
    }
    spec = create_model(
        "CustomModel",
        __base__=CustomModel,
        __doc__=inspect.getdoc(factory),
        kind=(literal, Field(default=name, description="A factory of the user's own.")),
        **shared,
    )
    spec.factory = staticmethod(factory)
    return spec


def _resolved(block: dict[str, Any]) -> CustomModel:
    return resolve_model(block["kind"]).model_validate(block)


def _signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(factory)
    except (TypeError, ValueError):  # some builtins have none
        return None
