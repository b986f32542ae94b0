"""Which pydantic models could describe the block at a key path: for suggestions in messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from afl_sim.scenario.catalogue import Catalogue, UncheckedBlock
from afl_sim.scenario.own_rules.block import OpenTo, openings_in
from afl_sim.scenario.scenario import DEFAULT_MODEL, Scenario
from afl_sim.scenario.sections.training import DEFAULT_OPTIMIZER, Training

Spec = type[BaseModel]
OPEN_BLOCKS: dict[tuple[Spec, tuple[str, ...]], str] = {
    (Scenario, ("strategy",)): "strategy",
    (Scenario, ("model",)): "model",
    (Scenario, ("training", "optimizer")): "optimizer",
    (Training, ("optimizer",)): "optimizer",
}
"""Where the catalogue decides what a block may hold, by the model of the whole."""


_DEFAULTS = {"model": DEFAULT_MODEL, "optimizer": DEFAULT_OPTIMIZER}
_DEEPEST = 4  # levels at which `places_of` looks for a key


def specs_at(
    path: Sequence[str | int], data: Any, catalogue: Catalogue | None, root: Spec = Scenario
) -> list[Spec]:
    """The models for the value at ``path``; several where it is not yet clear which kind is meant.

    Args:
        path: keys from the top of the file.
        data: the file as plain data.
        catalogue: the kinds of the open blocks.
        root: the model of the whole file.
    """
    specs: list[Spec] = [root]
    value = data
    fields: list[FieldInfo] = []
    names_free = False  # the next key is the author's own
    for i, part in enumerate(path):
        value = child(value, part)
        block = OPEN_BLOCKS.get((root, tuple(map(str, path[: i + 1]))))
        if block is not None:
            specs = _open_block(block, value, catalogue)
        elif names_free:
            names_free = False
        elif isinstance(part, str):
            fields = [field for spec in specs if (field := field_of(spec, part)) is not None]
            own = [spec for field in fields for spec in _own_rules(field, value)]
            specs = own or narrow(
                [spec for field in fields for spec in models_in(field.annotation)], value
            )
            names_free = any(get_origin(field.annotation) is dict for field in fields)
        else:  # an entry of a list has a kind of its own
            own = [spec for field in fields for spec in _own_rules(field, value)]
            specs = own or narrow(specs, value)
    return specs


def child(value: Any, part: str | int) -> Any:
    """What is under a key or index, or None."""
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def field_of(spec: Spec, key: str) -> FieldInfo | None:
    """The field that a key of the file belongs to."""
    for name, field in spec.model_fields.items():
        if key == (field.alias or name):
            return field
    return None


def keys_of(specs: Sequence[Spec]) -> list[str]:
    """The keys that any of the models takes, in order."""
    keys = [field.alias or name for spec in specs for name, field in spec.model_fields.items()]
    return list(dict.fromkeys(keys))


def places_of(
    names: Collection[str],
    above: Sequence[str | int],
    data: Any,
    catalogue: Catalogue | None,
    root: Spec = Scenario,
) -> list[tuple[str, ...]]:
    """The key paths of a file that end in one of these names, in blocks below a place.

    Args:
        names: the last keys that are wanted.
        above: the place. Lists are not searched.
        data, catalogue, root: as for `specs_at`.
    """
    found: list[tuple[str, ...]] = []
    waiting: list[tuple[str | int, ...]] = [tuple(above)]
    while waiting:
        path = waiting.pop(0)
        specs = specs_at(path, data, catalogue, root)
        for key in keys_of(specs):
            below = (*path, key)
            if key in names and len(below) > len(above) + 1:
                found.append(tuple(map(str, below)))
            listed = any(
                (field := field_of(spec, key)) is not None and get_origin(field.annotation) is tuple
                for spec in specs
            )
            if len(below) < _DEEPEST and not listed:
                waiting.append(below)
    return found


def models_in(annotation: Any) -> Iterator[Spec]:
    """The models named anywhere inside a type annotation; a base class stands for its kinds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation is not BaseModel:
            yield from annotation.__subclasses__() or [annotation]
        return
    for argument in get_args(annotation):
        yield from models_in(argument)


def narrow(specs: list[Spec], value: Any) -> list[Spec]:
    """Keep the models of the kind that the file names; if there are none, keep all."""
    kind = value.get("kind") if isinstance(value, dict) else value
    fitting = [spec for spec in specs if isinstance(kind, str) and kind in kinds_of([spec])]
    return fitting or specs


def kinds_of(specs: Sequence[Spec]) -> list[str]:
    """The values that the models' field ``kind`` may have."""
    kinds: list[str] = []
    for spec in specs:
        field = spec.model_fields.get("kind")
        if field is not None:
            literals = [kind for kind in get_args(field.annotation) if isinstance(kind, str)]
            kinds += literals or ([field.default] if isinstance(field.default, str) else [])
    return kinds


def _own_rules(field: FieldInfo, value: Any) -> list[Spec]:
    openings = [each for each in field.metadata if isinstance(each, OpenTo)]
    found = [each.spec_of(value) for each in (*openings, *openings_in(field.annotation))]
    return [spec for spec in found if spec is not None]


def _open_block(block: str, value: Any, catalogue: Catalogue | None) -> list[Spec]:
    if catalogue is None:
        return [UncheckedBlock]
    if value is None:
        value = _DEFAULTS.get(block)
    kind = value.get("kind") if isinstance(value, dict) else value
    try:
        spec = catalogue.find(block, kind) if isinstance(kind, str) else None
    except Exception:  # said already where the block itself was read
        spec = None
    return [spec] if spec is not None else []
