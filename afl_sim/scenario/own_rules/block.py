"""A block of a scenario that takes built-in kinds and rules of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from afl_sim.errors import ScenarioError
from afl_sim.scenario.own_rules.kinds import RuleKind
from afl_sim.scenario.wording import hint, show

_PATH = r"^[\w.]+:[\w.]+$"


@dataclass(frozen=True)
class OpenTo:
    """An annotation that opens a union of built-in blocks to a user's own rules.

    A block that needs only its kind may be written as that word. `RuleKind.find` looks for any kind
    that is not built in.

        Weight = Annotated[Constant | Polynomial, Field(discriminator="kind"), OpenTo(WEIGHTS, ...)]

    Attributes:
        rules: the kind of the user's own rules.
        built_in: the names of the built-in ones.
    """

    rules: RuleKind
    built_in: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_wrap_validator_function(
            self._read, handler(source), serialization=core_schema.simple_ser_schema("any")
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        path = {"type": "string", "pattern": _PATH}
        own: list[dict[str, Any]] = [
            path,
            {"type": "object", "properties": {"kind": path}, "required": ["kind"]},
        ]
        names = list(self.rules.named())
        if names:
            own += [
                {"enum": names},
                {
                    "type": "object",
                    "properties": {"kind": {"enum": names}},
                    "required": ["kind"],
                },
            ]
        return {"anyOf": [handler(schema), *own]}

    def spec_of(self, value: Any) -> type[BaseModel] | None:
        """The class of a user's own rule in a block; None if it is built in or cannot be found."""
        kind = value.get("kind") if isinstance(value, dict) else value
        if not isinstance(kind, str) or kind in self.built_in:
            return None
        try:
            return self.rules.find(kind)
        except ScenarioError:
            return None

    def _read(self, value: Any, handler: Any, info: core_schema.ValidationInfo) -> Any:
        if isinstance(value, str):
            value = {"kind": value}
        if isinstance(value, self.rules.base):
            return value
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind in self.built_in:
            return handler(value)
        try:
            spec = self.rules.find(kind)
        except ScenarioError as error:
            self._refuse(str(error), value)
        if spec is None:
            known = [*self.built_in, *self.rules.named()]
            self._refuse(
                f"unknown kind {show(kind)}; expected one of {', '.join(known)}, or "
                f"package.module:name for your own{hint(kind, known)}",
                value,
            )
        try:
            return spec.model_validate(value, context=info.context)
        except ValidationError:
            raise
        except Exception as error:  # a class from elsewhere may raise anything
            raise PydanticCustomError("scenario", f"rejected by {kind}: {error}") from None

    def _refuse(self, message: str, value: Any) -> NoReturn:
        detail = InitErrorDetails(
            type=PydanticCustomError("scenario", message),
            loc=("kind",),
            input=value,
        )
        raise ValidationError.from_exception_data("block", [detail])


def openings_in(annotation: Any) -> list[OpenTo]:
    """The `OpenTo` annotations anywhere inside a type annotation."""
    found = [each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, OpenTo)]
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        arguments = arguments[:1]
    for argument in arguments:
        found += openings_in(argument)
    return found
