"""The forms in which a scenario may write a distribution, each checked and made a `Law`.

Every function takes what was written and where inside the distribution it stands, adds what is
wrong to the reader's list, and returns None if anything was.
"""

from __future__ import annotations

import math
from typing import Any

from afl_sim.scenario.distributions import laws
from afl_sim.scenario.distributions.family_reader import FamilyReader, Form
from afl_sim.scenario.distributions.laws import Law
from afl_sim.scenario.distributions.number_reader import Path_, is_name
from afl_sim.scenario.traces.trace_forms import trace_column
from afl_sim.scenario.wording import hint, show

__all__ = ["Form", "FormReader"]

EXPECTED = (
    "a number, or a block with one of dist (a scipy.stats name), sequence, values, trace, mixture"
)
FORMS = ("dist", "sequence", "values", "trace", "mixture")


class FormReader(FamilyReader):
    """Reads one distribution; ``mistakes`` collects (path inside it, message)."""

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
