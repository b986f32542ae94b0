"""The forms in which a scenario may write a distribution, each checked and made a `Law`.

Every function takes what was written and where inside the distribution it stands, adds what is
wrong to the reader's list, and returns None if anything was.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
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
from afl_sim.scenario.traces.trace_forms import trace_column
from afl_sim.scenario.units import Quantity, Unreadable
from afl_sim.scenario.wording import hint, show

Path_ = tuple[str | int, ...]
Form = float | dict[str, Any]

EXPECTED = (
    "a number, or a block with one of dist (a scipy.stats name), sequence, values, trace, mixture"
)
MEASURED = ("loc", "scale")
"""The parameters of a family that have the unit of what is drawn; shapes have none."""
MEASURED_SHAPES = {"loguniform": ("a", "b"), "reciprocal": ("a", "b")}
"""Shapes that are the ends of an interval, if scale is left out, and so have that unit too."""
FORMS = ("dist", "sequence", "values", "trace", "mixture")


class FormReader:
    """Reads one distribution; ``mistakes`` collects (path inside it, message).

    Args:
        base: folder to which a trace's path is relative.
        signed: whether numbers below 0 can be drawn.
        quantity: what the numbers measure, if they may be written with a unit.
    """

    def __init__(
        self, base: Path | None, *, signed: bool = False, quantity: Quantity | None = None
    ) -> None:
        self.base = base or Path()
        self.signed = signed
        self.quantity = quantity
        self.mistakes: list[tuple[Path_, str]] = []

    def wrong(self, path: Path_, message: str) -> None:
        self.mistakes.append((path, message))

    def read(self, raw: Any, path: Path_ = (), *, nested: bool = False) -> tuple[Law, Form] | None:
        """The law and its canonical form, or None with the mistakes noted.

        Args:
            raw: what was written.
            path: where inside the distribution it stands.
            nested: whether it belongs to one client already, so that it cannot list clients again.
        """
        if isinstance(raw, dict):
            present = [form for form in FORMS if form in raw]
            if len(present) > 1:
                self.wrong(path, f"has both {present[0]} and {present[1]}; expected one of them")
                return None
            if not present:
                guess = next((hint(str(key), FORMS) for key in raw if hint(str(key), FORMS)), "")
                self.wrong(path, f"does not describe a distribution; expected {EXPECTED}{guess}")
                return None
            form = present[0]
            if form == "values" and nested:
                self.wrong((*path, form), "a list of clients inside a list of clients")
                return None
            read: tuple[Law, Form] | None = getattr(self, f"_{form}")(raw, path, nested)
            return read
        value = self.measured(raw, path, expected=EXPECTED)
        if value is None:
            return None
        if not self.fits(value, path):
            return None
        return laws.constant(value), value

    def fits(self, value: float, path: Path_) -> bool:
        """Whether a number can be drawn; else the mistake is noted."""
        if value < 0 and not self.signed:
            self.wrong(path, f"got {value:g}; expected 0 or more")
            return False
        return True

    def measured(self, raw: Any, path: Path_, expected: str = "a number") -> float | None:
        """A number, or text with a unit where there is one."""
        if self.quantity is None:
            return self.number(raw, path, expected)
        if not isinstance(raw, str) or is_name(raw):
            rest = expected.removeprefix("a number")
            return self.number(raw, path, f"{self.quantity.expected}{rest}")
        try:
            return self.number(self.quantity.read(raw), path)
        except Unreadable as error:
            self.wrong(path, str(error))
            return None

    def number(self, raw: Any, path: Path_, expected: str = "a number") -> float | None:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            self.wrong(path, f"got {show(raw)}; expected {expected}")
            return None
        try:
            value = float(raw)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            self.wrong(path, f"got {show(raw)}; expected a finite number")
            return None
        return value

    def numbers(self, raw: Any, path: Path_) -> list[float] | None:
        if not isinstance(raw, list | tuple) or not raw:
            self.wrong(path, f"got {show(raw)}; expected a list of at least one number")
            return None
        found = [self.measured(item, (*path, i)) for i, item in enumerate(raw)]
        values = [value for value in found if value is not None]
        return values if len(values) == len(found) else None

    def known_keys(self, raw: dict[str, Any], known: tuple[str, ...], path: Path_) -> None:
        for key in raw:
            if key not in known:
                expected = f"expected one of {', '.join(known)}"
                self.wrong((*path, str(key)), f"unknown key; {expected}{hint(str(key), known)}")

    def _sequence(self, raw: dict[str, Any], path: Path_, nested: bool) -> tuple[Law, Form] | None:
        self.known_keys(raw, ("sequence",), path)
        values = self.numbers(raw["sequence"], (*path, "sequence"))
        if values is None:
            return None
        for i, value in enumerate(values):
            self.fits(value, (*path, "sequence", i))
        return laws.sequence(values), {"sequence": values}

    def _values(self, raw: dict[str, Any], path: Path_, nested: bool) -> tuple[Law, Form] | None:
        self.known_keys(raw, ("values", "shuffle"), path)
        shuffle = self.shuffle(raw, path)
        items, inside = raw["values"], (*path, "values")
        if not isinstance(items, list | tuple) or not items:
            self.wrong(inside, f"got {show(items)}; expected a list with one entry for each client")
            return None
        read = [self.read(item, (*inside, i), nested=True) for i, item in enumerate(items)]
        good = [entry for entry in read if entry is not None]
        if len(good) < len(read):
            return None
        made = [law for law, _ in good]
        form: dict[str, Any] = {"values": [form for _, form in good]}
        if shuffle:
            return laws.shuffled(made), {**form, "shuffle": True}
        return laws.per_client(made), form

    def shuffle(self, raw: dict[str, Any], path: Path_) -> bool:
        """Whether a list of clients wants to be shuffled."""
        wanted = raw.get("shuffle", False)
        if not isinstance(wanted, bool):
            self.wrong((*path, "shuffle"), f"got {show(wanted)}; expected true or false")
        elif wanted and path:
            self.wrong(
                (*path, "shuffle"), "only a whole distribution is shuffled, not a part of one"
            )
        return wanted is True

    def _trace(self, raw: dict[str, Any], path: Path_, nested: bool) -> tuple[Law, Form] | None:
        by = raw.get("by", "sample")
        if by not in ("sample", "client"):
            self.wrong((*path, "by"), f"got {show(by)}; expected sample or client")
            return None
        if by == "client" and nested:
            self.wrong((*path, "by"), "a list of clients inside a list of clients")
            return None
        shuffle = self.shuffle(raw, path)
        if shuffle and by == "sample":
            self.wrong((*path, "shuffle"), "needs by: client, because a sample has no order")
        read = trace_column(self, raw, path, by)
        if read is None:
            return None
        values, form = read
        if shuffle:
            rows = [laws.constant(value) for value in values]
            return laws.shuffled(rows), {**form, "shuffle": True}
        return laws.numbers(values) if by == "client" else laws.sample(values), form

    def _mixture(self, raw: dict[str, Any], path: Path_, nested: bool) -> tuple[Law, Form] | None:
        self.known_keys(raw, ("mixture",), path)
        parts, inside = raw["mixture"], (*path, "mixture")
        if not isinstance(parts, list | tuple) or not parts:
            expected = "a list of blocks such as {weight: 0.9, dist: expon}"
            self.wrong(inside, f"got {show(parts)}; expected {expected}")
            return None
        read = [self.component(part, (*inside, i), nested) for i, part in enumerate(parts)]
        good = [entry for entry in read if entry is not None]
        if len(good) < len(read):
            return None
        weights = [weight for weight, _, _ in good]
        if not math.isfinite(math.fsum(weights)):
            self.wrong(inside, "the weights sum to more than a number can hold")
            return None
        length = self.one_length([law.length for _, law, _ in good], inside)
        forms = [
            {"weight": weight, **form}
            if isinstance(form, dict)
            else {"weight": weight, "dist": form}
            for weight, _, form in good
        ]
        law = laws.mixture(weights, [law for _, law, _ in good], length)
        return law, {"mixture": forms}

    def component(self, part: Any, path: Path_, nested: bool) -> tuple[float, Law, Form] | None:
        if not isinstance(part, dict):
            self.wrong(path, f"got {show(part)}; expected a block with weight and a distribution")
            return None
        weight: float | None = None
        if "weight" not in part:
            self.wrong(path, "missing key 'weight'; expected a number above 0")
        else:
            weight = self.number(part["weight"], (*path, "weight"), "a number above 0")
            if weight is not None and weight <= 0:
                self.wrong((*path, "weight"), f"got {weight:g}; expected a number above 0")
                weight = None
        inner = {key: value for key, value in part.items() if key != "weight"}
        if set(inner) == {"dist"} and not is_name(inner["dist"]):
            entry = self.read(inner["dist"], (*path, "dist"), nested=nested)
        else:
            entry = self.read(inner, path, nested=nested)
        if entry is None or weight is None:
            return None
        return weight, *entry

    def one_length(self, lengths: list[int | None], path: Path_) -> int | None:
        found = sorted({length for length in lengths if length is not None})
        if len(found) > 1:
            self.wrong(
                path, f"lists for {found[0]} and for {found[1]} clients; expected the same length"
            )
        return found[0] if found else None

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
            plain = FormReader(self.base, signed=self.signed)
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


def is_name(value: Any) -> bool:
    """Whether a value can name a family: text that does not begin like a number."""
    return isinstance(value, str) and re.match(r"\s*[-+.]?[0-9]", value) is None


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
