"""The base class of what a user can write for a block of a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from afl_sim.scenario.section import Checked

_PACKAGE = f"{__name__.partition('.')[0]}."


class Rule(Checked):
    """A rule of a run. Its fields are its settings, and the keys of its block; they are frozen.

    A rule stores nothing on itself. What it does depends on its settings and on what its method is
    called with. It draws random numbers only from the generator that it is given.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )

    kind: str = Field("", description="The rule's name, or package.module:name.")

    registered_name: ClassVar[str] = ""
    """The name of its entry point, if it was found by one."""

    @model_validator(mode="before")
    @classmethod
    def _name_itself(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.get("kind"):
            name = vars(cls).get("registered_name")  # its own: a subclass is another rule
            return {**data, "kind": name or f"{cls.__module__}:{cls.__qualname__}"}
        return data


def rules_in(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Rule]]:
    """Every rule of a user's own in a section or a scenario, with the path of its key."""
    if isinstance(value, Rule):
        if is_own(value):
            yield path, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from rules_in(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from rules_in(item, (*path, str(i)))


def is_own(rule: Rule) -> bool:
    """Whether a rule is from outside this package."""
    return not type(rule).__module__.startswith(_PACKAGE)


def code_modules(rule: Rule) -> Iterator[str]:
    """The modules outside this package that define a rule and its base classes."""
    for cls in type(rule).__mro__:
        if issubclass(cls, Rule) and not cls.__module__.startswith(_PACKAGE):
            yield cls.__module__
