"""A target of reproduction: a folder with a ``target.yaml`` and scenario files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from afl_sim.errors import InputError
from afl_sim.papers.words import Claim, Minutes, Runs, Table, Words
from afl_sim.scenario import Override
from afl_sim.scenario.bundled import scenario_folder
from afl_sim.scenario.mistakes.coercion import quiet_conversions
from afl_sim.scenario.mistakes.explain import Finding, explain
from afl_sim.scenario.mistakes.report import Mistakes
from afl_sim.scenario.wording import hint
from afl_sim.scenario.yaml.nodes import Node, Unreadable, compose, plain
from afl_sim.scenario.yaml.text import read_text

TARGET: Final = "target.yaml"
Scale = Literal["small", "full"]
SCALES: Final[tuple[Scale, ...]] = ("small", "full")


@dataclass(frozen=True)
class Target:
    """What is reproduced, and how it is judged.

    Attributes:
        name: the folder's name.
        folder: where its scenario files are.
        title, citation, minutes, figure: as `Words` describes them.
        studies: what is run, by name.
        settings: for each study, what replaces settings of its file.
        small_settings: for each study that is made small, the settings that do it.
        tables, claims: by quantity.
        analysis: the module with ``measure`` and ``draw``.
    """

    name: str
    folder: Path
    title: str
    citation: str
    minutes: Minutes
    studies: Mapping[str, Runs]
    settings: Mapping[str, tuple[Override, ...]]
    small_settings: Mapping[str, tuple[Override, ...]]
    tables: Mapping[str, Table]
    claims: Mapping[str, Claim]
    figure: str | None
    analysis: str

    def file(self, study: str) -> Path:
        """The scenario file of a study."""
        return self.folder / self.studies[study].file

    def studies_at(self, scale: Scale) -> list[str]:
        """The studies that are run at this scale."""
        return [
            name for name, runs in self.studies.items() if scale == "full" or runs.small != "skip"
        ]

    def is_timing_only(self, scale: Scale) -> bool:
        """Whether none of its studies trains at this scale."""
        return all(self.studies[name].timing_only for name in self.studies_at(scale))

    def settings_at(self, scale: Scale, study: str) -> tuple[Override, ...]:
        """What replaces settings of the study's file at this scale."""
        always = self.settings.get(study, ())
        return (*always, *self.small_settings.get(study, ())) if scale == "small" else always

    def results(self, scale: Scale) -> Path:
        """Where the results that come with the target are kept."""
        return self.folder / "results" / f"{scale}.json"


def paper_folder() -> Path:
    """The folder of the targets that come with the package."""
    return scenario_folder() / "papers"


def target_names() -> list[str]:
    """The targets that come with the package, in alphabetical order."""
    return sorted(file.parent.name for file in paper_folder().glob(f"*/{TARGET}"))


def find_target(name: str) -> Target:
    """The target with this name, or in this folder.

    Raises:
        InputError: there is no such target.
        ScenarioError: its ``target.yaml`` is wrong; one line for each mistake.
    """
    names = target_names()
    if name in names:
        return load_target(paper_folder() / name)
    if (Path(name) / TARGET).is_file():
        return load_target(Path(name))
    raise InputError(
        f"there is no target {name!r}; expected one of {', '.join(names)}, or a folder with a "
        f"{TARGET}{hint(name, names)}"
    )


def load_target(folder: Path) -> Target:
    """Read a target's folder.

    Raises:
        ScenarioError: its ``target.yaml`` is missing or wrong; one line for each mistake.
    """
    path = folder / TARGET
    mistakes = Mistakes(str(path))
    try:
        tree, misreadings = compose(read_text(path, "a target"), str(path))
        mistakes.add_misreadings(misreadings)
    except Unreadable as error:
        mistakes.add_misreadings(error.misreadings)
        raise mistakes.error() from None
    data = plain(tree)
    words = None
    if not isinstance(data, dict):
        mistakes.add(tree.where, "", "expected a target: title, citation, minutes, studies, ...")
        raise mistakes.error()
    try:
        words = Words.model_validate(data)
    except ValidationError as error:
        mistakes.add_findings(explain(error, data, None, Words), tree)
    else:
        mistakes.add_findings(quiet_conversions(data, words), tree)
        mistakes.add_findings(_problems(words, folder), tree)
    if mistakes.lines or words is None:
        raise mistakes.error()
    name = folder.resolve().name
    return Target(
        name,
        folder,
        words.title,
        words.citation,
        words.minutes,
        words.studies,
        {study: _settings(tree, "studies", study, "set") for study in words.studies},
        {study: _settings(tree, "studies", study, "small", "set") for study in words.studies},
        {table.quantity: table for table in words.tables},
        {claim.quantity: claim for claim in words.claims},
        words.figure,
        words.analysis or f"afl_sim.analysis.papers.{name.replace('-', '_')}",
    )


def _problems(words: Words, folder: Path) -> Iterator[Finding]:
    """Mistakes that show only when the blocks are compared."""
    for study, runs in words.studies.items():
        if not (folder / runs.file).is_file():
            message = f"there is no file {folder / runs.file}"
            yield Finding(("studies", study, "file"), message)
    taken: set[str] = set()
    blocks: dict[str, tuple[Table | Claim, ...]] = {"tables": words.tables, "claims": words.claims}
    for block, parts in blocks.items():
        for i, part in enumerate(parts):
            if part.quantity in taken:
                message = f"{part.quantity!r} occurs twice; expected another name"
                yield Finding((block, i, "quantity"), message)
            taken.add(part.quantity)
    for i, table in enumerate(words.tables):
        for label, row in table.rows.items():
            path = ("tables", i, "rows", label)
            tolerance = table.tolerance_of(label)
            if row.reported is not None and tolerance is None:
                message = "has a reported number, but neither it nor its table has a tolerance"
                yield Finding(path, message)
            if tolerance is not None and tolerance.spread and table.statistic == "median":
                message = "a prediction interval needs `statistic: mean`"
                yield Finding((*path, "tolerance", "spread"), message)
        yield from _missed(words, i)
        yield from _superseded(words, i)
    if not words.tables and not words.claims:
        yield Finding(("tables",), "no tables and no claims; expected at least one of them")


def _missed(words: Words, i: int) -> Iterator[Finding]:
    """Causes of rows or studies that are not there."""
    table = words.tables[i]
    for label, missed in table.missed.items():
        path = ("tables", i, "missed", label)
        if label not in table.rows or table.rows[label].reported is None:
            reported = [name for name, row in table.rows.items() if row.reported is not None]
            message = f"is not a row with a reported number{hint(label, reported)}"
            yield Finding(path, message)
        if missed.study not in words.studies:
            known = ", ".join(words.studies)
            message = (
                f"there is no study {missed.study!r}; expected one of {known}"
                f"{hint(missed.study, words.studies)}"
            )
            yield Finding((*path, "study"), message)


def _superseded(words: Words, i: int) -> Iterator[Finding]:
    """Rows that would count nowhere, or as another number."""
    table = words.tables[i]
    if table.superseded is None:
        return
    by = table.superseded.by
    others = {each.quantity: each for each in words.tables if each is not table}
    if by not in others:
        message = f"there is no other table {by!r}; expected one of {', '.join(others)}"
        yield Finding(("tables", i, "superseded", "by"), message + hint(by, others))
        return
    other = others[by]
    for label in table.superseded_rows():
        here, there = table.rows.get(label), other.rows.get(label)
        if here is None or here.reported is None:
            message = f"{label!r} is not a row with a reported number{hint(label, table.rows)}"
            yield Finding(("tables", i, "superseded", "rows"), message)
        elif there is None or there.reported != here.reported:
            message = f"{by} has no row {label!r} with the reported number {here.reported:g}"
            yield Finding(("tables", i, "superseded", "by"), message)
        elif label in other.superseded_rows():
            message = (
                f"the row {label!r} of {by} is superseded, too; expected the table that counts"
            )
            yield Finding(("tables", i, "superseded", "by"), message)


def _settings(tree: Node, *path: str) -> tuple[Override, ...]:
    """The settings at a place in the file, each with its own place; none if nothing is there."""
    node = tree
    for key in path:
        if not isinstance(node.value, dict) or key not in node.value:
            return ()
        node = node.value[key]
    assert isinstance(node.value, dict)
    return tuple(Override(key, value) for key, value in node.value.items())
