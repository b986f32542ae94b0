"""JSON Schema of scenario files, for editors: completion, documentation on hover, early errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from afl_sim.scenario.catalogue import Catalogue
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.families import COMMON
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.study import NOT_SWEPT
from afl_sim.scenario.units import DURATION, ENERGY, OPERATIONS, POWER, RATE, SIZE, Quantity

Schema = dict[str, Any]


def json_schema(catalogue: Catalogue) -> Schema:
    """The JSON Schema (draft 2020-12) of scenario files with the kinds of a catalogue."""
    specs = [
        *catalogue.strategies.values(),
        *catalogue.models.values(),
        *catalogue.optimizers.values(),
    ]
    wanted = [(spec, "validation") for spec in dict.fromkeys([Scenario, *specs])]
    references, whole = models_json_schema(wanted, schema_generator=_Generator)  # type: ignore[arg-type]
    definitions: Schema = whole["$defs"]
    names: dict[Any, str] = {spec: ref["$ref"] for (spec, _), ref in references.items()}
    scenario = definitions.pop(names[Scenario].rsplit("/", 1)[-1])
    training = definitions["Training"]
    for owner, key, table, open_ended in (
        (scenario, "strategy", catalogue.strategies, True),
        (scenario, "model", catalogue.models, True),
        (training, "optimizer", catalogue.optimizers, False),
    ):
        for kind, spec in table.items():
            _fix_kind(definitions[names[spec].rsplit("/", 1)[-1]], kind)
        described = {
            k: owner["properties"][key][k]
            for k in ("description", "default", "title")
            if k in owner["properties"][key]
        }
        owner["properties"][key] = described | _open_block(table, names, open_ended)
    scenario["properties"]["sweep"] = _sweep()
    scenario["properties"]["strategy"]["anyOf"].append(_strategies(list(catalogue.strategies)))
    figures: Schema = scenario["properties"]["figure"]
    block = {"anyOf": [figures.pop("items"), {"type": "string"}]}
    figures.pop("type")
    figures["anyOf"] = [*block["anyOf"], {"type": "array", "items": block}]
    # What a sweep supplies may be left out beside it.
    scenario["anyOf"] = [{"required": scenario.pop("required")}, {"required": ["sweep"]}]
    definitions["Distribution"] = _distribution("Distribution")
    definitions["SignedDistribution"] = _distribution("SignedDistribution")
    for quantity in (DURATION, RATE, POWER, ENERGY, SIZE, OPERATIONS):
        name = f"{quantity.name}Distribution"
        definitions[name] = _distribution(name, quantity)
    definitions.pop("BaseModel", None)  # stood for the open blocks
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **scenario,
        "$defs": dict(sorted(definitions.items())),
    }
    finished: dict[str, Any] = _standard_bounds(_shared_distribution(schema))
    return finished


class _Generator(GenerateJsonSchema):
    """Writes defaults as they are in a file."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Distribution):
            return dft.form
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True)
        return super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


_BOUNDS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
}


def _standard_bounds(schema: Any) -> Any:
    """Bounds on numbers that have a validator of their own come out under pydantic's names."""
    if isinstance(schema, list):
        return [_standard_bounds(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        _BOUNDS.get(key, key) if isinstance(value, int | float) else key: _standard_bounds(value)
        for key, value in schema.items()
    }


def _fix_kind(definition: Schema, kind: str) -> None:
    properties = definition.setdefault("properties", {})
    properties["kind"] = {"const": kind}
    required = definition.get("required", [])
    definition["required"] = ["kind", *(key for key in required if key != "kind")]


def _open_block(
    table: Mapping[str, type[BaseModel]], names: Mapping[Any, str], open_ended: bool
) -> Schema:
    ways: list[Schema] = [{"$ref": names[spec]} for spec in table.values()]
    short = [
        kind
        for kind, spec in table.items()
        if not any(f.is_required() for name, f in spec.model_fields.items() if name != "kind")
    ]
    if short:
        ways.append({"enum": short})
    if open_ended:
        pattern = r"^[\w.]+:\w+$"
        ways.append({"type": "string", "pattern": pattern})
        ways.append(
            {
                "type": "object",
                "properties": {"kind": {"type": "string", "pattern": pattern}},
                "required": ["kind"],
            }
        )
    return {"anyOf": ways}


def _distribution(name: str, quantity: Quantity | None = None) -> Schema:
    number: Schema = {"type": "number"}
    signed = name == "SignedDistribution"
    drawn: Schema = number if signed else {"type": "number", "minimum": 0}
    which = "numbers" if signed else "numbers that are 0 or more"
    measured = number
    if quantity is not None:
        text = {"type": "string", "pattern": quantity.pattern, "examples": [quantity.example]}
        drawn, measured = {"anyOf": [drawn, text]}, {"anyOf": [number, text]}
        which = f"{quantity.base}; a number may be text with a unit, such as {quantity.example}"
    each = {"type": "array", "minItems": 1}
    itself = {"$ref": f"#/$defs/{name}"}
    factor = {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "What gives the numbers of the column the scenario's unit.",
    }
    number_clients = {
        "enum": ["in_order", None],
        "description": "Whether the ids in the column client are numbered by their order.",
    }
    trace_per_client = {
        "type": "object",
        "properties": {
            "trace": {"type": "string"},
            "column": {"type": "string"},
            "by": {"const": "client"},
            "factor": factor,
            "number_clients": number_clients,
            "sha256": {"type": "string"},
        },
        "required": ["trace", "by"],
        "additionalProperties": False,
    }
    shuffle = {
        "type": "boolean",
        "description": "Whether clients get the entries in an order drawn by the seed.",
    }

    def block(required: str, **properties: Schema) -> Schema:
        return {
            "type": "object",
            "properties": properties,
            "required": [required],
            "additionalProperties": False,
        }

    def parameter(value: Schema) -> Schema:
        per_client = block("values", values={**each, "items": value})
        return {"anyOf": [value, per_client, trace_per_client]}

    # The ends of loguniform, too; other families have shapes of these names without a unit.
    with_unit = () if quantity is None else ("loc", "scale", "a", "b")
    component = {
        "type": "object",
        "properties": {"weight": {"type": "number", "exclusiveMinimum": 0}},
        "required": ["weight"],
    }
    return {
        "description": f"A number, or a distribution of {which}.",
        "anyOf": [
            drawn,
            {
                "type": "object",
                "description": "A scipy.stats distribution with its shapes, loc and scale.",
                "properties": {
                    "dist": {"type": "string", "examples": sorted(COMMON)},
                    "allow_heavy_tail": {"type": "boolean"},
                    **{key: parameter(measured) for key in with_unit},
                },
                "required": ["dist"],
                "additionalProperties": parameter(number),
            },
            block("sequence", sequence={**each, "items": drawn}),
            block("values", values={**each, "items": itself}, shuffle=shuffle),
            block(
                "trace",
                trace={"type": "string"},
                column={"type": "string"},
                by={"enum": ["sample", "client"]},
                factor=factor,
                number_clients=number_clients,
                sha256={"type": "string"},
                shuffle=shuffle,
            ),
            block("mixture", mixture={**each, "items": component}),
        ],
    }


def _strategies(kinds: list[str]) -> Schema:
    """A list of strategies, of which each block may have a label."""
    kind = {"anyOf": [{"enum": kinds}, {"type": "string", "pattern": r"^[\w.]+:\w+$"}]}
    block = {
        "type": "object",
        "properties": {"kind": kind, "label": {"type": ["string", "number"]}},
        "required": ["kind"],
    }
    return {"type": "array", "minItems": 1, "items": {"anyOf": [kind, block]}}


def _sweep() -> Schema:
    swept = [re.escape(name) for name in Scenario.model_fields if name not in NOT_SWEPT]
    keys = rf"^({'|'.join(swept)})(\..+)?$"
    settings = {"type": "object", "patternProperties": {keys: {}}, "additionalProperties": False}
    case = {
        "type": "object",
        "properties": {"label": {"type": "string"}, "set": {**settings, "minProperties": 1}},
        "required": ["set"],
        "additionalProperties": False,
    }
    product = {
        **settings,
        "minProperties": 1,
        "patternProperties": {keys: {"type": "array", "minItems": 1}},
    }
    cases = {
        "type": "object",
        "properties": {"cases": {"type": "array", "minItems": 1, "items": case}},
        "required": ["cases"],
        "additionalProperties": False,
    }
    return {
        "description": Scenario.model_fields["sweep"].description,
        "anyOf": [product, cases, {"type": "null"}],
    }


def _shared_distribution(value: Any) -> Any:
    if isinstance(value, dict):
        found = {key: _shared_distribution(item) for key, item in value.items()}
        if name := found.pop("x-distribution", None):
            found["$ref"] = f"#/$defs/{name}"
        return found
    if isinstance(value, list):
        return [_shared_distribution(item) for item in value]
    return value
