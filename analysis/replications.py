"""Groups of runs that differ only in their seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from afl_sim.recording import Run
from afl_sim.scenario.wording import one_line

# What does not change what is measured: the seed is what replications differ in.
IGNORED: Final = ("name", "description", "seed", "replications", "execution", "recording", "figure")
_REPLICATION: Final = re.compile(r"-r\d+$|(?<![^_])seed=\d+(_|$)")
LONGEST_LABEL: Final = 36
_SETTING: Final = "_setting_key"
_ALL_PAIRS: Final = 4  # of more groups each is compared with the first only


@dataclass(frozen=True)
class Group:
    """The replications of one setting.

    Attributes:
        label: short and unique among the groups that it was made with.
        runs: one run for each seed, in the order given.
        index: its place among the groups that it was made with, which decides its colour.
        short: its label, shortened for a figure, and still unique.
    """

    label: str
    runs: tuple[Run, ...]
    index: int = 0
    short: str = ""

    def with_runs(self, runs: Sequence[Run]) -> Group:
        """The same group with only some of its runs; its labels say how many are left."""
        if len(runs) == len(self.runs):
            return replace(self, runs=tuple(runs))
        count = f" ({len(runs)} of {len(self.runs)} runs)"
        return replace(self, runs=tuple(runs), label=self.label + count, short=self.short + count)

    @property
    def first(self) -> Run:
        """The run that is shown if only one can be shown."""
        return self.runs[0]

    @property
    def settings(self) -> dict[str, Any]:
        """What all its runs have in common, without names and seeds."""
        return settings(self.first)


def settings(run: Run) -> dict[str, Any]:
    """A run's resolved scenario without what `IGNORED` names."""
    return {key: value for key, value in run.scenario.items() if key not in IGNORED}


def seed(run: Run) -> Any:
    """What makes two runs share their random draws: the scenario's seed."""
    return run.scenario.get("seed")


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs by setting, in the order in which the settings first appear.

    Two runs of one setting and one seed are the same run twice; they stay two groups, so that no
    interval takes them for independent replications.
    """
    found: dict[tuple[str, int], list[Run]] = {}
    copies: dict[tuple[str, Any], int] = {}
    for run in runs:
        key = _setting_key(run)
        copy = copies.get((key, seed(run)), 0)
        copies[key, seed(run)] = copy + 1
        found.setdefault((key, copy), []).append(run)
    members = list(found.values())
    labels = told_apart([_label(group) for group in members], [group[0].path for group in members])
    return [
        Group(label, tuple(group), index, short)
        for index, (label, group, short) in enumerate(
            zip(labels, members, short_labels(labels), strict=True)
        )
    ]


def _setting_key(run: Run) -> str:
    """Equal for runs that differ in their seed only; a run keeps it, as each figure asks for it."""
    found: str | None = run.__dict__.get(_SETTING)
    if found is None:
        what = _key(settings(run)) + str(run.manifest.get("timing_only") or "")
        found = run.__dict__[_SETTING] = hashlib.sha256(what.encode()).hexdigest()
    return found


def told_apart(labels: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """The labels; equal ones are extended by what distinguishes their folders."""
    apart = list(labels)
    equal: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        equal.setdefault(label, []).append(place)
    for label, places in equal.items():
        if len(places) > 1:
            for place, name in zip(places, _names([paths[p] for p in places]), strict=True):
                apart[place] = f"{label} ({name})"
    return _numbered(apart)


def _names(paths: Sequence[Path]) -> list[str]:
    """For each path its shortest unique ending, without the ending that all paths share."""
    parts = [path.resolve().parts for path in paths]
    while all(parts) and len({each[-1] for each in parts}) == 1:
        parts = [each[:-1] for each in parts]
    count = Counter(end for each in parts for end in _ends(each))
    return [
        one_line(str(Path(*next((e for e in _ends(each) if count[e] == 1), each))))
        for each in parts
    ]


def _ends(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (parts[-length:] for length in range(1, len(parts) + 1))


def _numbered(labels: Sequence[str]) -> list[str]:
    """The labels, those that come again with a number."""
    unique: dict[str, None] = {}
    for label in labels:
        candidate, count = label, 2
        while candidate in unique:
            candidate = f"{label} ({count})"
            count += 1
        unique[candidate] = None
    return list(unique)


def short_labels(labels: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Labels shortened in the middle, or about where they differ; equal ones are numbered."""
    return _numbered(_shortened(labels, longest))


def short_names(members: Sequence[Group], longest: int) -> list[str]:
    """The groups' labels for where a figure has little room, still unique."""
    return list(map(drawable, short_labels([group.label for group in members], longest)))


def drawable(text: str) -> str:
    """``text`` in a form that a figure shows as it is: no formula, and not hidden from a legend."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _shortened(labels: Sequence[str], longest: int) -> list[str]:
    """Labels shortened in the middle; elsewhere if they differ only in the middle."""
    short = [shorten(label, longest) for label in labels]
    for text in dict.fromkeys(short):
        places = [place for place, found in enumerate(short) if found == text]
        differing = {labels[place] for place in places}
        if len(differing) > 1:
            begin = max(0, _in_common(differing) - longest // 2)
            for place in places:
                rest = ("…" if begin else "") + labels[place][begin:]
                short[place] = rest if len(rest) <= longest else rest[: longest - 1] + "…"
    return short


def _in_common(texts: Collection[str]) -> int:
    """How many characters the texts begin with alike."""
    columns = enumerate(zip(*texts, strict=False))
    return next((n for n, letters in columns if len(set(letters)) > 1), min(map(len, texts)))


def named(labels: Sequence[str], most: int = 6) -> str:
    """Labels in a sentence; if there are very many, the first ones and the number of the others."""
    if len(labels) <= most:
        return ", ".join(labels)
    return f"{', '.join(labels[: most - 1])} and {len(labels) - most + 1:,} more"


def shorten(text: str, longest: int = LONGEST_LABEL) -> str:
    """``text`` with its middle left out where it is too long."""
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return text[:head] + "…" + text[head + 1 - longest :]


def pairs(members: Sequence[Group]) -> list[tuple[Group, Group]]:
    """The pairs of groups worth comparing: those that differ in their strategy only.

    Where a study does not vary the strategy, all its groups are compared. Up to four groups are all
    compared with each other; with more, each is compared with the first.
    """
    blocks: dict[str, list[Group]] = {}
    for group in members:
        rest = {key: value for key, value in group.settings.items() if key != "strategy"}
        blocks.setdefault(_key(rest), []).append(group)
    if all(len(block) == 1 for block in blocks.values()):
        blocks = {"": list(members)}
    found = []
    for block in blocks.values():
        for index, group in enumerate(block):
            others = block[:index] if len(block) <= _ALL_PAIRS else block[: min(index, 1)]
            found += [(group, other) for other in others]
    return found


def paired_runs(a: Group, b: Group) -> list[tuple[Run, Run]]:
    """The runs of two groups that have a seed in common, and so their random draws."""
    by_seed = {_key(seed(run)): run for run in b.runs}
    return [(run, by_seed[_key(seed(run))]) for run in a.runs if _key(seed(run)) in by_seed]


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _label(runs: Sequence[Run]) -> str:
    if runs[0].title:
        return runs[0].title
    first = runs[0].label
    if len(runs) == 1:
        return first
    return _REPLICATION.sub("", first).strip("_") or runs[0].name
