"""A difference between two settings, as a plain sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from afl_sim.analysis.metrics import COSTS, TIME_TO, beginning_of, is_share
from afl_sim.analysis.statistics import Interval


@dataclass(frozen=True)
class Wording:
    """The words for a difference: ``a VERB 3 UNIT MORE than b``, or ``a and b SAME``."""

    verb: str
    more: str
    less: str
    same: str
    unit: str
    scale: float = 1.0


WORDINGS: Final = {
    "final_accuracy": Wording(
        "ends",
        "more accurate",
        "less accurate",
        "end equally accurate",
        "percentage points",
        scale=100,
    ),
    "virtual_seconds": Wording("ends", "later", "earlier", "end at the same time", "s"),
    "mean_staleness": Wording("is", "staler", "less stale", "are equally stale", "versions"),
    "idle_fraction": Wording(
        "idles",
        "more",
        "less",
        "idle equally",
        "percentage points",
        scale=100,
    ),
    "energy_joules": Wording("uses", "more", "less", "use the same energy", "J"),
    "wasted_joules": Wording("wastes", "more", "less", "waste the same energy", "J"),
    "price": Wording("costs", "more", "less", "cost the same", ""),
    "carbon_grams": Wording("emits", "more", "less", "emit the same", "g"),
}


def of_metric(metric: str, better: str) -> Wording:
    """The words for a metric at the end, of which ``higher`` or ``lower`` values are better."""
    high, low = ("better", "worse") if better == "higher" else ("worse", "better")
    return Wording(
        "ends",
        f"higher in {metric} ({high})",
        f"lower in {metric} ({low})",
        f"end with the same {metric}",
        "percentage points" if is_share(metric) else "",
        scale=100 if is_share(metric) else 1,
    )


def of_target(name: str, target: str) -> Wording:
    """The words for the time to a target, or for what is used until then."""
    begin = beginning_of(name)
    if begin == TIME_TO:
        return replace(
            WORDINGS["virtual_seconds"],
            verb=f"reaches {target}",
            same=f"reach {target} at the same time",
        )
    block = begin.removesuffix("_to_")
    what, unit = COSTS[block]
    if not unit:
        same = f"reach {target} for the same {what}"
        return replace(WORDINGS[block], verb=f"reaches {target} for", same=same)
    return replace(
        WORDINGS[block],
        verb=f"reaches {target} with",
        more=f"more {what}",
        less=f"less {what}",
        same=f"reach {target} with the same {what}",
    )


def in_part(
    a: str,
    b: str,
    target: str,
    times: Sequence[tuple[float | None, float | None]],
    reached: Sequence[int],
    is_first: str = "is first",
) -> str:
    """For pairs in which a target was not always reached: how often each setting was first."""
    n = len(times)
    if not any(reached):
        return f"neither {a} nor {b} reaches {target} in any of {n} runs"
    late = math.inf
    order = [(late if x is None else x) - (late if y is None else y) for x, y in times if x != y]
    first = sum(difference < 0 for difference in order)
    return (
        f"{a} reaches {target} in {reached[0]} of {n} runs and {b} in {reached[1]} of {n}; "
        f"{a} {is_first} in {first} of {n} pairs, {b} in {len(order) - first}"
    )


def say(words: Wording, a: str, b: str, interval: Interval) -> str:
    """``a VERB 412 s MORE than b, 95 % CI [350, 480], n=10``."""
    sign = -1 if interval.mean < 0 else 1
    mean, *ends = (sign * words.scale * x for x in (interval.mean, interval.low, interval.high))
    low, high = sorted(ends)
    if mean == 0:
        said = f"{a} and {b} {words.same}"
    else:
        how = words.less if sign < 0 else words.more
        unit = f"{words.unit} " if words.unit else ""
        said = f"{a} {words.verb} {_amount(mean, words)} {unit}{how} than {b}"
    if not interval.is_known:
        return f"{said}, n={interval.n}, too few for an interval"
    said += f", 95 % CI [{_amount(low, words)}, {_amount(high, words)}], n={interval.n}"
    return said + (" (not told apart)" if low < 0 < high else "")


def _amount(value: float, words: Wording) -> str:
    if not words.unit:  # of any size
        return f"{value:.3g}"
    if words.unit in ("s", "J", "g"):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
    # What is not zero is not said to be zero.
    return f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.1g}"
