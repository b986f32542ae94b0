"""The common base of all blocks of a scenario."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import PydanticCustomError

from afl_sim.errors import ScenarioError
from afl_sim.scenario.units import DURATION
from afl_sim.scenario.wording import hint, show

_CONSTRUCTION = "afl_sim.scenario.construction"
"""What fills blocks. It needs the blocks, and so it is imported after them."""


class Checked(BaseModel):
    """A block that can be made in Python: its mistakes are told as those of a file are.

    Raises:
        ScenarioError: a key or a value is wrong; one line for each mistake.
    """

    # Most blocks of a scenario are not used by a command, so their validators are made when needed.
    model_config = ConfigDict(defer_build=True)

    _fill: ClassVar[Callable[[Checked, dict[str, Any]], None] | None] = None

    def __init__(self, /, **settings: Any) -> None:
        if Checked._fill is None and not _being_imported():
            Checked._fill = import_module(_CONSTRUCTION).fill
        if Checked._fill is None:  # a default of a block, which has no mistakes
            self.__pydantic_validator__.validate_python(settings, self_instance=self)
        else:
            Checked._fill(self, settings)

    # Without this mark `model_validate` would come here for every block inside another.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which are not checked.

        Raises:
            ScenarioError: there is no such setting.
        """
        known = [*type(self).model_fields, *self.__private_attributes__]
        extra = type(self).model_config.get("extra")
        for name in update or () if extra != "allow" else ():
            if name not in known:
                keys = ", ".join(type(self).model_fields)
                raise ScenarioError(
                    f"{name}: unknown key; expected one of {keys}{hint(name, known)}"
                )
        return super().model_copy(update=update, deep=deep)


def _being_imported() -> bool:
    """Whether a module of this package is; what fills blocks needs all of them to be there."""
    mine = [each for name, each in sys.modules.items() if name.startswith(f"{__package__}.")]
    return any(getattr(module.__spec__, "_initializing", False) for module in mine)


class Section(Checked):
    """A frozen block of a scenario that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """The same block with other settings, checked as a new one is.

        Raises:
            ScenarioError: the new settings are wrong; one line for each mistake.
        """
        own = {name: getattr(self, name) for name in self.model_fields_set}
        aliases = {name: field.alias for name, field in type(self).model_fields.items()}
        return type(self)(**{aliases.get(n) or n: v for n, v in own.items()} | changes)


class LaterSection(Section):
    """A block that has got keys since runs of it were first recorded.

    A scenario that does not use such a key keeps the identity that it had without it: its default
    is not written out. But where another block would be inherited from, it is: see `overriding`.
    """

    _later: ClassVar[tuple[str, ...]] = ()
    _overrides: frozenset[str] = PrivateAttr(default=frozenset())

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        for name in self._later:
            field = type(self).model_fields.get(name)
            if (
                field is not None
                and name not in self._overrides
                and getattr(self, name) == field.get_default(call_default_factory=True)
            ):
                written.pop(name, None)
        return written

    def overriding(self, own: BaseModel, common: Mapping[str, Any]) -> Self:
        """This block, which writes out the defaults that it needs beside what it inherits from.

        Args:
            own: the keys of the block as the file has them.
            common: what holds for keys that the block does not give.
        """
        self._overrides = frozenset(
            name
            for name in self._later
            if name in own.model_fields_set and common.get(name) not in (None, getattr(self, name))
        )
        return self


def _undisguised(value: Any) -> Any:
    # `true` is not 1 here, and "3" in quotes is not 3.
    if isinstance(value, bool | str):
        raise PydanticCustomError("float_type", "Input should be a number")
    return value


def _undisguised_whole(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise PydanticCustomError("int_type", "Input should be a whole number")
    return value


Number = Annotated[float, BeforeValidator(_undisguised)]
"""A finite number."""

LARGEST_FLOAT32 = 3.4028234663852886e38


def within_float32(value: float) -> float:
    """Refuse a number that training, which is in float32, would take for infinite."""
    if abs(value) > LARGEST_FLOAT32:
        raise PydanticCustomError(
            "scenario",
            f"got {value:g}; expected a number of float32, whose largest is {LARGEST_FLOAT32:.2g}",
        )
    return value


Float32 = Annotated[Number, AfterValidator(within_float32)]
"""A finite number that training computes with."""

Whole = Annotated[int, BeforeValidator(_undisguised_whole)]
"""A whole number; 3.0 is one."""

Count = Annotated[Whole, Field(gt=0)]
"""A whole number from 1."""

LONGEST_SECONDS = 9e12
"""The longest duration that a file may ask for; the clock counts microseconds in 64 bits."""

HIGHEST_WATTS = 1e12
"""The highest power that a file may ask for; an account counts microwatts in 64 bits."""

HIGHEST_JOULES = 1e18
"""The most energy of a battery, a sample or a byte that a file may ask for."""

MOST_STEPS = 10**8
"""The most local steps in a task."""

Seconds = Annotated[Number, Field(gt=0, ge=1e-6, le=LONGEST_SECONDS), DURATION]
"""Seconds of virtual time, at least one microsecond, or text with a unit of time."""

Wait = Annotated[Number, Field(ge=0, le=LONGEST_SECONDS), DURATION]
"""Seconds of virtual time, which may be 0, or text with a unit of time."""

Flag = Annotated[bool, Field(strict=True)]
"""true or false, and nothing that could be taken for them."""


def kind_alone(value: Any) -> Any:
    """Allow a block that needs only its kind to be written as that word."""
    return {"kind": value} if isinstance(value, str) else value


def given(block: Any, names: tuple[str, ...]) -> list[str]:
    """Which of the keys a block has, null not counted."""
    return [name for name in names if isinstance(block, dict) and block.get(name) is not None]


def default_choice(block: Any, names: tuple[str, ...], default: dict[str, Any]) -> Any:
    """Fill in ``default`` where a block gives none of ``names``."""
    return block if given(block, names) or not isinstance(block, dict) else {**block, **default}


def too_many(present: list[str], names: tuple[str, ...]) -> str | None:
    """The message if a block has several keys of which it may have only one."""
    if len(present) < 2:
        return None
    return f"has both {present[0]} and {present[1]}; expected one of {', '.join(names)}"


def refuse_many(section: BaseModel, names: tuple[str, ...]) -> None:
    """Raise if more than one of these attributes is not None."""
    message = too_many([name for name in names if getattr(section, name) is not None], names)
    if message is not None:
        raise PydanticCustomError("scenario", message)


def two(expected: str) -> BeforeValidator:
    """A check that a value is a list of two entries.

    Args:
        expected: what they are, for the message.
    """

    def checked(value: Any) -> Any:
        if not isinstance(value, list | tuple) or len(value) != 2:
            told = f"got {show(value)}; expected {expected}"
            raise PydanticCustomError("scenario", "{message}", {"message": told})
        return value

    return BeforeValidator(checked)
