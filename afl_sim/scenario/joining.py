"""Several scenario files as one study, so that their runs can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from afl_sim.errors import ScenarioError
from afl_sim.scenario.dumping import WITHOUT_EFFECT, as_data
from afl_sim.scenario.naming import names_of, sanitised, unique
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.study import Case, Part, Study
from afl_sim.scenario.wording import exact
from afl_sim.scenario.yaml.nodes import Node

_MOST_NAMES = 3  # that the name of the study is made of
_MOST_TOLD = 12
_UNNAMED = ("name", "description", "seed", "replications", "recording", "sweep", *WITHOUT_EFFECT)
"""What files may differ in without being another setting."""


@dataclass(frozen=True, slots=True)
class File:
    """A scenario file that has been read.

    Attributes:
        path: as the user named it.
        study: its content.
        folder: the folder from which its paths go out.
    """

    path: str
    study: Study
    folder: Path


def joined(files: Sequence[File]) -> Study:
    """One study of the runs of several files, in their order.

    A file with one setting is a setting of the study. It is called by its `name`, or by what the
    files differ in if that is no longer: ``fedbuff`` and ``fedavg`` for files that differ in their
    strategy. The settings of a file with several have the file's name before their own. The folders
    of runs always have the names of the files.

    Raises:
        ScenarioError: two files have the same name, or the runs have different seeds, so that
            nothing is paired.
    """
    _refuse_equal_names(files)
    _refuse_other_seeds(files)
    names = _titles(files)
    cases = [
        Case(_label(file, case), case.scenario, ", ".join(filter(None, (name, case.title))))
        for file, name in zip(files, names, strict=True)
        for case in file.study.cases
    ]
    labels = unique(case.label for case in cases)
    first = [file.study.name for file in files[:_MOST_NAMES]]
    if len(files) > _MOST_NAMES:
        first = [first[0], "and", str(len(files) - 1), "more"]
    return Study(
        sanitised("-".join(first)),
        "",
        "",
        tuple(replace(case, label=label) for case, label in zip(cases, labels, strict=True)),
        True,
        tuple(Part(file.study.name, file.study.source, file.folder) for file in files),
    )


def together(files: Sequence[File]) -> str:
    """A line on what files are if they are run as one study."""
    try:
        study = joined(files)
    except ScenarioError as error:
        return f"together: no study: {error}"
    titles = list(dict.fromkeys(case.title for case in study.cases))
    few = titles if len(titles) <= _MOST_TOLD else [*titles[: _MOST_TOLD - 1], "..."]
    return f"together: a study of {len(study.cases)} runs: {'; '.join(few)}"


def _label(file: File, case: Case) -> str:
    name = file.study.name
    return f"{name}-{case.label}" if file.study.is_study else name


def _refuse_equal_names(files: Sequence[File]) -> None:
    seen: dict[str, File] = {}
    for file in files:
        name = file.study.name
        if name in seen:
            raise ScenarioError(
                f"{file.path}: name: {seen[name].path} is named {name!r}, too; expected files of "
                "different names, since the names tell their runs apart"
            )
        seen[name] = file


def _refuse_other_seeds(files: Sequence[File]) -> None:
    seeds = [list(dict.fromkeys(case.scenario.seed for case in f.study.cases)) for f in files]
    for file, own in zip(files, seeds, strict=True):
        if sorted(own) != sorted(seeds[0]):
            raise ScenarioError(
                f"{file.path}: seed: its runs have {_told(own)}, and those of {files[0].path} have "
                f"{_told(seeds[0])}; expected the same seeds, since runs are compared in pairs "
                "that share their random draws (--seed N and --set replications=N set them in all "
                "files)"
            )


def _told(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"the seed {exact(seeds[0])}"
    return f"{len(seeds)} seeds from {exact(seeds[0])} on"


def _titles(files: Sequence[File]) -> list[str]:
    """What the files are called in figures and tables."""
    names = [file.study.name for file in files]
    short = _differences(files)
    if short and sum(map(len, short)) <= sum(map(len, names)):
        return short
    return names


def _differences(files: Sequence[File]) -> list[str]:
    """What the files differ in, for each; empty if that gives them no names."""
    if any(len({case.title for case in file.study.cases}) > 1 for file in files):
        return []
    settings = [_settings(file.study.cases[0].scenario) for file in files]
    leaves = [dict(_leaves(each)) for each in settings]
    keys = dict.fromkeys(key for each in leaves for key in each)
    differing = [key for key in keys if any(each.get(key) != leaves[0].get(key) for each in leaves)]
    if not differing:
        return []
    common = list(differing[0])
    while any(list(key[: len(common)]) != common for key in differing):
        common.pop()
    blocks = [_at(each, common) for each in settings]
    if not common or any(block is None for block in blocks):
        return []
    titles = [name.title for name in names_of(".".join(common), list(map(_node, blocks)))]
    numbered = [f"{common[-1]} {n}" for n in range(1, len(titles) + 1)]
    if len(set(titles)) < len(titles) or any(
        not title or title == number for title, number in zip(titles, numbered, strict=True)
    ):
        return []
    return titles


def _settings(scenario: Scenario) -> dict[str, Any]:
    data = as_data(scenario)
    return {key: value for key, value in data.items() if key not in _UNNAMED}


def _leaves(block: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(block, dict) or not block:
        yield path, block
        return
    for key, value in block.items():
        yield from _leaves(value, (*path, key))


def _at(block: Any, path: Sequence[str]) -> Any:
    for key in path:
        block = block.get(key) if isinstance(block, dict) else None
    return block


def _node(value: Any) -> Node:
    if isinstance(value, dict):
        return Node({key: _node(item) for key, item in value.items()}, "")
    return Node([_node(item) for item in value] if isinstance(value, list) else value, "")
