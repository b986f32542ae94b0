"""`Distribution`: any random duration, rate or factor that a scenario can write.

One type serves all of them, because a distribution is data: its form in the file, and the quantile
function which that form means. Draws are by inverse transform, one uniform each, so that a draw is
a pure function of its address.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError
from pydantic_core import core_schema as core

from afl_sim.errors import ScenarioError
from afl_sim.scenario.distributions.forms import Form, FormReader
from afl_sim.scenario.distributions.laws import Law, Quantile
from afl_sim.scenario.units import Quantity


@dataclass(frozen=True)
class Measured:
    """What a file holds for a distribution, and the quantity of which that is."""

    raw: Any
    quantity: Quantity


@dataclass(frozen=True)
class In:
    """An annotation of a distribution of measured numbers, which may be written with a unit.

    Duration = Annotated[Distribution, In(DURATION)]
    """

    quantity: Quantity

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core.no_info_before_validator_function(self._measured, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"x-distribution": f"{self.quantity.name}{handler(schema)['x-distribution']}"}

    def _measured(self, raw: Any) -> Any:
        return raw if isinstance(raw, Distribution) else Measured(raw, self.quantity)


class Distribution:
    """A distribution of non-negative numbers, perhaps different for each client.

    Args:
        form: a number, or the block that a scenario file would hold.
        base: folder to which a trace's path is relative; the working directory if None.

    Raises:
        ScenarioError: the form describes no usable distribution; one line per mistake.

    >>> Distribution({"dist": "expon", "scale": 2.0}).mean()
    2.0
    """

    __slots__ = ("_key", "_law", "_quantile", "form")

    _key: str
    _law: Law
    _quantile: Quantile
    form: Form
    """The canonical form: what is written when the scenario is dumped."""

    signed: ClassVar[bool] = False
    """Whether numbers below 0 can be drawn."""

    def __init__(self, form: Any, base: Path | None = None) -> None:
        reader = FormReader(base, signed=self.signed)
        read = reader.read(form)
        if read is None or reader.mistakes:
            lines = [
                ".".join(map(str, path)) + ": " + message if path else message
                for path, message in reader.mistakes
            ]
            raise ScenarioError("\n".join(lines))
        self._fill(*read)

    @classmethod
    def of(cls, law: Law, form: Form) -> Distribution:
        """The distribution of a law that a file cannot write; ``form`` represents it."""
        made = cls.__new__(cls)
        made._fill(law, form)
        return made

    def _fill(self, law: Law, form: Form) -> None:
        for name, value in (
            ("_law", law),
            ("_quantile", law.quantile),
            ("form", form),
            ("_key", json.dumps(form, sort_keys=True)),
        ):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Distribution cannot be changed")

    def quantile(self, u: float, client: int = 0, k: int = 0) -> float:
        """The value at probability ``u``, 0 < u < 1, for a client's task number ``k``."""
        return self._quantile(u, client, k)

    @property
    def law(self) -> Law:
        """Its functions, for those who draw often."""
        return self._law

    def quantiles(
        self, u: npt.ArrayLike, clients: npt.ArrayLike = 0, k: int = 0
    ) -> npt.NDArray[np.float64]:
        """`quantile` for arrays: ``u`` of any shape, ``clients`` one or of the same shape.

        The values are the same, bit for bit, as those of `quantile`.
        """
        us = np.asarray(u, dtype=np.float64)
        who = np.asarray(clients)
        return self._law.quantiles(us, int(who) if who.ndim == 0 else who, k)

    def mean(self, client: int = 0) -> float:
        """The client's mean; of a sequence the value that it comes to hold. May be infinite."""
        return self._law.mean(client)

    @property
    def constant(self) -> float | None:
        """The number, if it is the same for every client and task; else None."""
        return self._law.constant

    @property
    def length(self) -> int | None:
        """The number of clients it is written for, if it lists them; else None."""
        return self._law.length

    @property
    def shuffles(self) -> bool:
        """Whether the clients it lists are still to be put into an order, drawn by the seed."""
        return self._law.reordered is not None

    def reordered(self, order: Sequence[int]) -> Distribution:
        """The same list with client i in place ``order[i]`` of it."""
        assert self._law.reordered is not None
        law = self._law.reordered(order)
        listed: Any = self.form
        rows = listed.get("values") or [law.mean(i) for i in range(len(order))]
        if "values" in listed:
            rows = [rows[i] for i in order]
        return self.of(law, {"values": rows})

    def placed(self, place: Callable[[int], int]) -> Distribution:
        """The same list for some of the clients: client i takes entry ``place(i)`` of it."""
        return Distribution.of(self._law.placed(place), self.form)

    @property
    def positive(self) -> bool:
        """Whether every draw is above 0, with probability one."""
        return self._law.positive

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Distribution) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Distribution({self.form!r})"

    def __reduce__(self) -> tuple[type[Distribution], tuple[Form]]:
        return type(self), (self.form,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core.with_info_plain_validator_function(
            cls._validate,
            serialization=core.plain_serializer_function_ser_schema(lambda value: value.form),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        # A shared definition takes its place, see schema.py.
        return {"x-distribution": cls.__name__}

    @classmethod
    def _validate(cls, raw: Any, info: core.ValidationInfo) -> Distribution:
        quantity = None
        if isinstance(raw, Measured):
            raw, quantity = raw.raw, raw.quantity
        if isinstance(raw, cls):
            return raw
        if isinstance(raw, Distribution):
            raw = raw.form
        base = getattr(info.context, "base", None)
        reader = FormReader(base, signed=cls.signed, quantity=quantity)
        read = reader.read(raw)
        if read is None or reader.mistakes:
            details = [
                InitErrorDetails(
                    type=PydanticCustomError("scenario", "{why}", {"why": message}),
                    loc=path,
                    input=raw,
                )
                for path, message in reader.mistakes
            ]
            raise ValidationError.from_exception_data("Distribution", details)
        return cls.of(*read)


class SignedDistribution(Distribution):
    """A distribution of any numbers, such as angles.

    >>> SignedDistribution({"dist": "uniform", "loc": -30, "scale": 60}).mean()
    0.0
    """

    __slots__ = ()
    signed = True
