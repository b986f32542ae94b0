"""Blocks of a scenario that read a table: what they have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from afl_sim.scenario.section import LaterSection, Number
from afl_sim.scenario.traces.tables import NumberClients, TableProblems, refuse_changed
from afl_sim.scenario.units import MEASURED
from afl_sim.scenario.wording import show

Factor = Annotated[Number, Field(gt=0)]
"""What the numbers of a column are multiplied by, so that they have the scenario's unit."""

NumberedClients = Annotated[
    NumberClients,
    Field(
        description="How the ids in the column `client` give the numbers of clients. null: "
        "whole numbers are the numbers of the clients, from 0, and names are ordered as text; "
        "in_order: the clients of the file are numbered in the order of their ids, ordered by "
        "value if all are whole numbers, otherwise as text."
    ),
]

Sha256 = Annotated[
    str | None,
    Field(
        description="SHA-256 of the file; filled in when the file is read, and checked from then "
        "on."
    ),
]


class TraceBlock(LaterSection):
    """A block with the keys ``trace`` and ``sha256``, whose file is read when it is validated."""

    _later: ClassVar[tuple[str, ...]] = ("factor", "number_clients")
    _instead: ClassVar[str] = ""
    """What is said to a number with a unit that is given in place of the name of a file."""
    _content: Any = PrivateAttr(default=None)

    def _load(self, path: Path) -> tuple[Any, str]:
        """The content of the file, and its sha256.

        Raises:
            TableProblems: it cannot be read so.
        """
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, raw: Any, handler: Any, info: ValidationInfo) -> Self:
        made: Any = handler(raw)
        path = ((getattr(info.context, "base", None) or Path()) / made.trace).absolute()
        try:
            content, digest = made._load(path)
            refuse_changed(path, made.sha256, digest)
        except TableProblems as problems:
            messages = problems.messages
            if isinstance(raw, str) and MEASURED.match(raw) and not path.exists():
                instead = f"; {cls._instead}" if cls._instead else ""
                messages = [f"got {show(raw)}; expected the name of a CSV or Parquet file{instead}"]
            details = [
                InitErrorDetails(
                    type=PydanticCustomError("scenario", "{why}", {"why": why}),
                    loc=problems.key,
                    input=raw,
                )
                for why in messages
            ]
            raise ValidationError.from_exception_data(cls.__name__, details) from None
        read: Self = made.model_copy(update={"trace": str(path), "sha256": digest})
        read._content = content
        return read


class FileAlone(TraceBlock):
    """A block that may be written as the name of its file alone."""

    @model_validator(mode="before")
    @classmethod
    def _file_alone(cls, raw: Any) -> Any:
        return {"trace": raw} if isinstance(raw, str) else raw
