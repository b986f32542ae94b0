"""Which runs are shown, and in which order, by the names that figures and tables give them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from afl_sim.analysis.replications import Group, groups, named
from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.scenario.wording import hint, show


def chosen(
    runs: Sequence[Run],
    settings: Sequence[str] = (),
    order: Sequence[str] = (),
    prefix: str = "--",
) -> list[Run]:
    """The runs of some settings, in an order of the settings.

    A name is that of a setting in figures and tables, or that of a run or its folder. In it ``*``
    stands for any characters, and upper and lower case count as equal.

    Args:
        settings: whose runs to keep; none: all.
        order: the names that come first, in this order.
        prefix: what a message writes before ``settings`` and ``order``.

    Raises:
        InputError: a name fits nothing.
    """
    members = groups(runs)
    if settings:
        found = [_fitting(name, members, f"{prefix}settings") for name in settings]
        kept = {run.path for each in found for run in each}
        members = [_with(group, [r for r in group.runs if r.path in kept]) for group in members]
        members = [group for group in members if group.runs]
    places: dict[int, int] = {}
    for place, name in enumerate(order):
        those = {run.path for run in _fitting(name, members, f"{prefix}order")}
        for index, group in enumerate(members):
            if any(run.path in those for run in group.runs):
                places.setdefault(index, place)
    last = len(order)
    sequence = sorted(range(len(members)), key=lambda index: places.get(index, last))
    return [run for index in sequence for run in members[index].runs]


def split(texts: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Names from the command line: each text is a name, or several with commas between them.

    A name with a comma in it, such as ``fedavg, lr=0.1``, counts as one if there is such a name.
    """
    members = groups(runs)
    found: list[str] = []
    for text in texts:
        whole = not text.strip() or any(_fits(text, group) for group in members)
        parts = [text] if whole else [part.strip() for part in text.split(",")]
        found += [part for part in parts if part]
    return found


def _fitting(name: str, members: Sequence[Group], where: str) -> list[Run]:
    found = []
    for group in members:
        whole = _fits(name, group)
        found += [run for run in group.runs if whole or _matches(name, (run.label, run.path.name))]
    if not found:
        labels = [group.label for group in members]
        raise InputError(
            f"{where}: there is no setting {show(name)}; expected one of "
            f"{named(list(map(show, labels)), 20)}, or a name with *{hint(name, labels)}"
        )
    return found


def _fits(name: str, group: Group) -> bool:
    return _matches(name, (group.label, group.short, group.first.title))


def _matches(name: str, names: Sequence[str]) -> bool:
    pattern = re.compile(".*".join(map(re.escape, name.strip().split("*"))), re.IGNORECASE)
    return any(pattern.fullmatch(each) for each in names)


def _with(group: Group, runs: Sequence[Run]) -> Group:
    return Group(group.label, tuple(runs), group.index, group.short)
