"""The blocks whose keys other rooms define: strategy, model, optimizer.

What they accept is handed in as a `Catalogue`, so that reading a scenario needs neither the
strategies nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from afl_sim.errors import ScenarioError
from afl_sim.scenario.wording import hint, show

Spec = type[BaseModel]


def _unresolvable(name: str) -> Spec:
    raise ScenarioError(f"{name} cannot be imported here")


@dataclass(frozen=True)
class Catalogue:
    """What ``kind`` may be in the blocks that other rooms define.

    Attributes:
        strategies, models, optimizers: by kind, a frozen pydantic model that forbids unknown keys
            and has a field ``kind``.
        resolve_strategy, resolve_model: for a kind written ``package.module:name``; they raise
            ScenarioError with one line.
        bases: by block, the class of every kind; a block that is not there may be of any class.
    """

    strategies: Mapping[str, Spec] = field(default_factory=dict)
    models: Mapping[str, Spec] = field(default_factory=dict)
    optimizers: Mapping[str, Spec] = field(default_factory=dict)
    resolve_strategy: Callable[[str], Spec] = _unresolvable
    resolve_model: Callable[[str], Spec] = _unresolvable
    bases: Mapping[str, Spec] = field(default_factory=dict)

    def table(self, block: str) -> Mapping[str, Spec]:
        """The known kinds of ``strategy``, ``model`` or ``optimizer``."""
        tables = {
            "strategy": self.strategies,
            "model": self.models,
            "optimizer": self.optimizers,
        }
        return tables[block]

    def find(self, block: str, kind: str) -> Spec | None:
        """The class of a kind, or None for an unknown one.

        Raises:
            ScenarioError: the kind is written ``package.module:name`` and cannot be loaded.
        """
        spec = self.table(block).get(kind)
        if spec is None and ":" in kind and block != "optimizer":
            spec = self.resolve_strategy(kind) if block == "strategy" else self.resolve_model(kind)
        return spec


@dataclass(frozen=True)
class ValidationContext:
    """The context in which a scenario is validated.

    Attributes:
        catalogue: the kinds known; None accepts any block that has a kind, unchecked.
        base: the folder of the scenario file, to which paths in it are relative.
    """

    catalogue: Catalogue | None = None
    base: Path | None = None


_known: list[Callable[[], Catalogue]] = []


def use_catalogue(make: Callable[[], Catalogue]) -> None:
    """From now on, blocks that are made in Python are checked by the catalogue that this gives."""
    _known[:] = [make]


def known_catalogue() -> Catalogue | None:
    """The catalogue for blocks that are made in Python; None if no other room has given one."""
    return _known[0]() if _known else None


class NamedBlock(Protocol):
    """A strategy, model or optimizer, of whatever class."""

    @property
    def kind(self) -> str:
        """Its name in a scenario."""


class UncheckedBlock(BaseModel):
    """A strategy, model or optimizer read without a catalogue: its keys are kept as written."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str


def strategy_block(value: Any, info: ValidationInfo) -> BaseModel:
    """Validate ``strategy:`` by the catalogue in the context."""
    return _block("strategy", value, info.context)


def model_block(value: Any, info: ValidationInfo) -> BaseModel:
    """Validate ``model:`` by the catalogue in the context."""
    return _block("model", value, info.context)


def optimizer_block(value: Any, info: ValidationInfo) -> BaseModel:
    """Validate ``training.optimizer:`` by the catalogue in the context."""
    return _block("optimizer", value, info.context)


def _block(name: str, value: Any, context: ValidationContext | None) -> BaseModel:
    catalogue = context.catalogue if context is not None else known_catalogue()
    if isinstance(value, BaseModel):
        base = catalogue.bases.get(name) if catalogue is not None else None
        if base is None or isinstance(value, base):
            return value
        if isinstance(value, UncheckedBlock):
            value = value.model_dump()
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, dict):
        raise PydanticCustomError(
            "scenario", f"got {show(value)}; expected a block with a kind, or the kind alone"
        )
    table = catalogue.table(name) if catalogue is not None else {}
    known = f"expected one of {', '.join(sorted(table))}" if table else "expected a name"
    if "kind" not in value:
        _refuse("kind", f"missing; {known}", value)
    kind = value["kind"]
    if not isinstance(kind, str):
        _refuse("kind", f"got {show(kind)}; {known}", value)
    if catalogue is None:
        return UncheckedBlock.model_validate(value)
    try:
        spec = catalogue.find(name, kind)
    except ScenarioError as error:
        _refuse("kind", str(error), value)
    if spec is None:
        own = ", or package.module:name for your own" if name != "optimizer" else ""
        _refuse("kind", f"unknown {name} {show(kind)}; {known}{own}{hint(kind, table)}", value)
    try:
        return spec.model_validate(value, context=context)
    except ValidationError:
        raise
    except Exception as error:  # a class from elsewhere may raise anything
        raise PydanticCustomError("scenario", f"rejected by {kind}: {error}") from None


def _refuse(key: str, message: str, value: Any) -> NoReturn:
    detail = InitErrorDetails(
        type=PydanticCustomError("scenario", message),
        loc=(key,),
        input=value,
    )
    raise ValidationError.from_exception_data("block", [detail])
