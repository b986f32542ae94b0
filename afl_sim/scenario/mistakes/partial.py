"""Sections with a mistake: their valid parts are checked nevertheless."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from afl_sim.scenario.catalogue import ValidationContext
from afl_sim.scenario.mistakes.lookup import models_in, narrow

KeyPath = tuple[str | int, ...]


class Unknown(Exception):
    """The requested part of a section contains a mistake."""


class Partial:
    """A section with mistakes. Its attributes are the parts without a mistake.

    Args:
        spec: what the section would be.
        parts: its valid attributes.
    """

    def __init__(self, spec: type[BaseModel], parts: dict[str, Any]) -> None:
        self.__dict__.update(parts)
        self.__dict__["_spec"] = spec

    def __getattr__(self, name: str) -> Any:
        raise Unknown(name)


def fields_of(section: BaseModel | Partial) -> Iterator[tuple[str, Any]]:
    """The keys of a section with their values, as far as they are known."""
    spec = section._spec if isinstance(section, Partial) else type(section)
    for name, field in spec.model_fields.items():
        if name in section.__dict__:
            yield field.alias or name, getattr(section, name)


def without_unknown(findings: Iterator[Any]) -> Iterator[Any]:
    """The findings of a check, until it needs a part that is not known."""
    try:
        yield from findings
    except Unknown:
        return


def valid_part(
    spec: type[BaseModel],
    name: str,
    data: Any,
    reading: ValidationContext,
    wrong: Collection[KeyPath],
) -> Any:
    """The value of a field as far as it is valid: whole, `Partial`, or None if nothing is known.

    Args:
        spec: the model with the field.
        name: of the field.
        data: what is written for it.
        reading: the context of validation.
        wrong: where mistakes are, as key paths from the field on.
    """
    if not wrong:
        try:
            return adapter(spec, name).validate_python(data, context=reading)
        except ValidationError:
            return None
    kinds = narrow(list(dict.fromkeys(models_in(spec.model_fields[name].annotation))), data)
    if len(kinds) != 1 or not isinstance(data, dict):
        return None
    parts: dict[str, Any] = {}
    for inner, field in kinds[0].model_fields.items():
        if inner in data and inner in _with_validators(kinds[0]):
            continue
        key = field.alias or inner
        below = [path[1:] for path in wrong if path and path[0] == key]
        if key in data:
            part = valid_part(kinds[0], inner, data[key], reading, below)
            if part is not None or (data[key] is None and not below):
                parts[inner] = part
        elif not below and not field.is_required() and not field.validate_default:
            parts[inner] = field.get_default(call_default_factory=True)
    return Partial(kinds[0], parts)


@cache
def _with_validators(spec: type[BaseModel]) -> frozenset[str]:
    """The fields that have validators of the model, such as groups, which the fleet completes.

    These may look at other fields. Where one of those has a mistake, nobody knows what they make.
    """
    validators = spec.__pydantic_decorators__.field_validators.values()
    return frozenset(name for validator in validators for name in validator.info.fields)


@cache
def adapter(spec: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """A validator for a single field of a model."""
    field = spec.model_fields[name]
    whole: Any = field.annotation
    for part in field.metadata:
        whole = Annotated[whole, part]
    return TypeAdapter(whole)
