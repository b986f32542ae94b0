"""Digests of runs, and whether they are those of runs that were published."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

SHOWN: Final = 12
"""Digits of a digest that a line shows."""
_NAMED: Final = 5  # runs in a line
_DEPENDS: Final = "whose model depends on the processor and on the version of PyTorch"


@dataclass(frozen=True)
class Digests:
    """What is compared of a run.

    Attributes:
        schedule: the digest of its schedule.
        model: that of its model; None if nothing was trained.
        bits: ``portable`` or ``native``, the arithmetic that made the model.
    """

    schedule: str
    model: str | None
    bits: str


def digests_of(summary: Mapping[str, Any]) -> Digests | None:
    """The digests in a run's ``summary.json``; None if the run did not come to its end."""
    schedule, model = summary.get("schedule_digest"), summary.get("model_digest")
    if not isinstance(schedule, str) or summary.get("status") not in ("complete", "diverged"):
        return None
    return Digests(schedule, model if isinstance(model, str) else None, bits_of(summary))


def bits_of(record: Mapping[str, Any]) -> str:
    """The arithmetic in a run's summary; ``native`` in those that do not say."""
    numerics = record.get("numerics")
    found = numerics.get("bits") if isinstance(numerics, Mapping) else None
    return "portable" if found == "portable" else "native"


def verdict(pairs: Mapping[str, tuple[Digests, Digests]]) -> str:
    """One line: whether runs have the digests that were published.

    The schedules are compared, and the models of the runs that were trained both here and there.

    Args:
        pairs: label -> the digests of the run here, and those that were published; not empty.
    """
    trained = {
        label for label, (here, there) in pairs.items() if None not in (here.model, there.model)
    }
    word = "digest" if trained else "schedule digest"
    ours, theirs = (
        _one([(pair[side].model if label in trained else pair[side].schedule) or ""
              for label, pair in pairs.items()])
        for side in (0, 1)
    )  # fmt: skip
    what = f"{word} {ours[:SHOWN]}" + (f" of {len(pairs):,} runs" if len(pairs) > 1 else "")
    schedules = {label for label, (here, there) in pairs.items() if here.schedule != there.schedule}
    models = {label for label in trained if pairs[label][0].model != pairs[label][1].model}
    if not schedules | models:
        return f"{what} as published"
    if ours == theirs:  # of all models, while a schedule differs
        return f"{what} as published, but {_schedules(pairs, schedules)}"
    where = "" if len(pairs) == 1 else f" ({_names(pairs, schedules | models)})"
    reason = _schedules(pairs, schedules) if schedules else _models(pairs, models)
    return f"{what} differs from the published one: {theirs[:SHOWN]}{where}; {reason}"


def _one(digests: list[str]) -> str:
    """A digest as it is, or one of several."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _names(all_labels: Collection[str], chosen: Collection[str]) -> str:
    """Labels in their order, the first few."""
    if len(chosen) == len(all_labels) and len(chosen) > 1:
        return "all of them"
    names = [label for label in all_labels if label in chosen]
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _schedules(pairs: Mapping[str, tuple[Digests, Digests]], chosen: Collection[str]) -> str:
    which = "" if len(pairs) == 1 else f" of {_names(pairs, chosen)}"
    return (
        f"the schedule{which} differs, which depends on the code and on the systems that "
        "docs/determinism.md lists"
    )


def _models(pairs: Mapping[str, tuple[Digests, Digests]], chosen: Collection[str]) -> str:
    """Why models may differ where schedules do not."""
    here = {pairs[label][0].bits for label in chosen}
    there = {pairs[label][1].bits for label in chosen}
    one = len(chosen) == 1
    same = f"{'its schedule is' if len(pairs) == 1 else 'all schedules are'} as published"
    if here == there == {"portable"}:
        return f"{same}, and both are portable, so this is a defect, or the code is another"
    if "portable" not in here:
        return f"{same}, but {'this run is' if one else 'these runs are'} native, {_DEPENDS}"
    if "portable" not in there:
        return f"{same}, but the published {'one is' if one else 'ones are'} native, {_DEPENDS}"
    return f"{same}, but some runs are native, {_DEPENDS}"
