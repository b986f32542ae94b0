"""Distributions that a scenario writes by name: families of ``scipy.stats``."""

from __future__ import annotations

import math
from typing import Any

from afl_sim.scenario.distributions import laws
from afl_sim.scenario.distributions.families import (
    COMMON,
    FAMILIES,
    Frozen,
    Impossible,
    family_parameters,
    freeze,
    unfit,
)
from afl_sim.scenario.distributions.laws import Law
from afl_sim.scenario.distributions.number_reader import NumberReader, Path_, is_name
from afl_sim.scenario.traces.trace_forms import trace_column
from afl_sim.scenario.wording import hint, show

Form = float | dict[str, Any]

MEASURED = ("loc", "scale")
"""The parameters of a family that have the unit of what is drawn; shapes have none."""
MEASURED_SHAPES = {"loguniform": ("a", "b"), "reciprocal": ("a", "b")}
"""Shapes that are the ends of an interval, if scale is left out, and so have that unit too."""


class FamilyReader(NumberReader):
    """Reads a family with its parameters."""

    def _dist(self, raw: dict[str, Any], path: Path_, nested: bool) -> tuple[Law, Form] | None:
        name = raw["dist"]
        parameters = self.family(name, (*path, "dist"))
        if parameters is None:
            return None
        heavy = raw.get("allow_heavy_tail", False)
        if not isinstance(heavy, bool):
            self.wrong((*path, "allow_heavy_tail"), f"got {show(heavy)}; expected true or false")
        before = len(self.mistakes)
        self.known_keys(raw, ("dist", *parameters, "allow_heavy_tail"), path)
        given: dict[str, float | list[float]] = {}
        for key in parameters:
            if key in raw:
                value = self.parameter(name, key, raw[key], (*path, key), nested)
                if value is not None:
                    given[key] = value
            elif key not in ("loc", "scale"):
                takes = ", ".join(parameters)
                self.wrong(path, f"{name} is missing its shape '{key}'; it takes {takes}")
        if len(self.mistakes) > before:
            return None
        length = self.one_length(
            [len(value) if isinstance(value, list) else None for value in given.values()], path
        )
        law = self.family_law(name, given, length, bool(heavy), path)
        if law is None:
            return None
        form: dict[str, Any] = {"dist": name}
        for key, value in given.items():
            form[key] = {"values": value} if isinstance(value, list) else value
        return law, {**form, "allow_heavy_tail": True} if heavy else form

    def family(self, name: Any, path: Path_) -> tuple[str, ...] | None:
        if not isinstance(name, str):
            self.wrong(path, f"got {show(name)}; expected the name of a scipy.stats distribution")
            return None
        parameters = family_parameters(name)
        if parameters is None:
            near = hint(name, COMMON) or hint(name, FAMILIES)
            why = unfit(name, signed=self.signed)
            self.wrong(path, why or f"scipy.stats has no distribution {show(name)}{near}")
        return parameters

    def parameter(
        self, name: str, key: str, raw: Any, path: Path_, nested: bool
    ) -> float | list[float] | None:
        measured = key in MEASURED or key in MEASURED_SHAPES.get(name, ())
        if self.quantity is not None and not measured:
            if isinstance(raw, str) and not is_name(raw):
                units = "loc and scale" if "scale" in (family_parameters(name) or ()) else "loc"
                why = f"{key} of {name} has no unit, only {units} have"
                self.wrong(path, f"got {show(raw)}; expected a number: {why}")
                return None
            plain = FamilyReader(self.base, signed=self.signed)
            plain.mistakes = self.mistakes
            return plain.parameter(name, key, raw, path, nested)
        if isinstance(raw, dict) and set(raw) == {"values"}:
            if nested:
                self.wrong(path, "a list of clients inside a list of clients")
                return None
            return self.numbers(raw["values"], (*path, "values"))
        if isinstance(raw, dict) and raw.get("by") == "client" and "trace" in raw:
            if nested:
                self.wrong(path, "a list of clients inside a list of clients")
                return None
            if self.shuffle(raw, path):
                return None
            read = trace_column(self, raw, path, "client")
            return None if read is None else list(read[0])
        return self.measured(
            raw, path, "a number, or one for each client: {values: [...]} or a trace by: client"
        )

    def family_law(
        self,
        name: str,
        given: dict[str, float | list[float]],
        length: int | None,
        heavy: bool,
        path: Path_,
    ) -> Law | None:
        made: list[Law] = []
        known: dict[tuple[float, ...], Law] = {}  # some laws take a while to make
        for client in range(length or 1):
            numbers = {
                key: value[min(client, len(value) - 1)] if isinstance(value, list) else value
                for key, value in given.items()
            }
            key_of = tuple(numbers.values())
            if key_of in known:
                made.append(known[key_of])
                continue
            try:
                family = freeze(name, numbers)
            except Impossible as impossible:
                who = f"client {client}: " if length else ""
                key = impossible.parameter
                self.wrong((*path, key) if key else path, f"{who}{impossible}")
                return None
            if (problem := unusable(name, family, heavy, self.signed)) is not None:
                self.wrong(path, problem)
                return None
            known[key_of] = laws.frozen(family)
            made.append(known[key_of])
        return laws.per_client(made) if length else made[0]


def unusable(name: str, family: Frozen, heavy: bool, signed: bool = False) -> str | None:
    """Why a proper distribution cannot serve here, or None."""
    if family.low < 0 and not signed:
        return (
            f"{name} reaches below 0 (its support starts at {family.low:g}); expected 0 or more, "
            "as with lognorm, gamma, halfnorm or truncnorm, or with another loc"
        )
    if not heavy and not math.isfinite(family.mean):
        return f"{name} has no finite mean with these shapes; allow_heavy_tail: true accepts that"
    return None
