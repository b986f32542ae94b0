"""From a scenario file to its `Study`, or to every mistake in it, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from afl_sim.errors import ScenarioError
from afl_sim.scenario.bundled import find_scenario, meant_built_in
from afl_sim.scenario.cases import cases_of, read_settings
from afl_sim.scenario.catalogue import Catalogue, ValidationContext
from afl_sim.scenario.checks.combinations import exclusive_keys, impossible_combinations
from afl_sim.scenario.given import NOWHERE, given_tree
from afl_sim.scenario.mistakes.coercion import quiet_conversions
from afl_sim.scenario.mistakes.explain import Finding, KeyPath, explain
from afl_sim.scenario.mistakes.partial import valid_part
from afl_sim.scenario.mistakes.report import Mistakes, locate
from afl_sim.scenario.naming import sanitised, unique
from afl_sim.scenario.overrides import Override
from afl_sim.scenario.scenario import NAME_LENGTH, Scenario
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.study import MAX_RUNS, Case, Study, replicate
from afl_sim.scenario.yaml.nodes import Node, Unreadable, compose, plain
from afl_sim.scenario.yaml.text import read_text
from afl_sim.scenario.yaml.writing import as_text


def read_study(
    source: Path | str | Mapping[str, Any],
    catalogue: Catalogue | None,
    overrides: Sequence[str | Override] = (),
    seed: int | None = None,
    *,
    timing_only: bool = False,
    inspect: Callable[[Scenario], Iterable[tuple[tuple[str, ...], str]]] | None = None,
    base: Path | None = None,
) -> Study:
    """Read a scenario file, with its sweep expanded.

    Args:
        source: the file, or the name of a built-in scenario; a string with a line break in it is
            taken for the text itself. Or the content of a file as Python values, in which blocks
            may be sections.
        catalogue: the strategies, models and optimizers there are; None leaves them unchecked.
        overrides: settings ``key.path=value`` that go before what the file says, in every run;
            or as read from another file, which its mistakes then name.
        seed: replaces the file's seed.
        timing_only: also refuse what cannot work when nothing is trained.
        inspect: looks at each valid case for what only other rooms can know, such as the sizes of
            the clients' data; gives (key path, message) for each mistake.
        base: the folder from which paths in the file go out; None: its own.

    Raises:
        ScenarioError: one line for every mistake, ``file:line: key.path: what; expected ...``;
            without ``file:line`` if there is no file.
    """
    read = read_tree(source)
    root, mistakes = read.root, read.mistakes
    settings = read_settings(overrides, seed, mistakes)
    cases = cases_of(root, settings, mistakes)
    reading = ValidationContext(catalogue, read.folder if base is None else base)
    runs: list[Case] = []
    for case_name, tree in cases:
        scenario, findings = read_scenario(tree, reading, cases=len(cases), timing_only=timing_only)
        if scenario is not None and inspect is not None:
            findings = [Finding(path, message) for path, message in inspect(scenario)]
        mistakes.add_findings(findings, tree)
        if scenario is not None:
            runs += replicate(case_name, scenario)
    if len(runs) > MAX_RUNS:
        mistakes.add(root.where, "replications", f"{len(runs)} runs; expected at most {MAX_RUNS}")
    if mistakes.lines:
        raise mistakes.error()
    study = _study(read.text, runs, is_study=bool(cases[0][0].label))
    longest = max(len(case.scenario.name) for case in study.cases)
    if longest > NAME_LENGTH:
        message = f"a run's name would have {longest} characters; expected at most {NAME_LENGTH}"
        mistakes.add(*locate(Finding(("name",), ""), root), message)
        raise mistakes.error()
    return study


@dataclass(frozen=True)
class Tree:
    """What a scenario file says, before anything in it is checked.

    Attributes:
        root: its keys, with a name.
        text: its text.
        folder: its folder, from which paths in it go out.
        mistakes: those that were found in the text; further ones are added here.
    """

    root: Node
    text: str
    folder: Path
    mistakes: Mistakes


def read_tree(source: Path | str | Mapping[str, Any]) -> Tree:
    """Read the text of a scenario file; ``source`` is as for `read_study`.

    Raises:
        ScenarioError: the file cannot be read, or is no block of keys.
    """
    name, folder, text = "<text>", Path(), ""
    if isinstance(source, Mapping):
        name = NOWHERE
    elif isinstance(source, str) and "\n" in source:
        text = source
    else:
        path = find_scenario(source) if isinstance(source, str) else Path(source)
        known = meant_built_in(path)
        if known is not None:
            raise ScenarioError(
                f"{source}: there is no such file; did you mean {known}, the built-in scenario?"
            )
        name, folder, text = str(source), path.parent, read_text(path)
    mistakes = Mistakes(name)
    try:
        root, misreadings = (
            given_tree(source) if isinstance(source, Mapping) else compose(text, name)
        )
        mistakes.add_misreadings(misreadings)
    except Unreadable as error:
        mistakes.add_misreadings(error.misreadings)
        raise mistakes.error() from None
    if not isinstance(root.value, dict):
        what = "the file is empty" if root.value is None else "the file is not a block of keys"
        mistakes.add(root.where, "", f"{what}; expected a scenario: clients, strategy, stop, ...")
        raise mistakes.error()
    if isinstance(source, Mapping):
        text = as_text(plain(root))
    stem = "scenario" if name in (NOWHERE, "<text>") else Path(name).stem
    return Tree(_with_name(root, stem), text, folder, mistakes)


def read_scenario(
    tree: Node, reading: ValidationContext, *, cases: int = 1, timing_only: bool = False
) -> tuple[Scenario | None, list[Finding]]:
    """Validate one of so many cases: the scenario if it is valid, and all that is wrong with it."""
    data = plain(tree)
    made: list[Scenario] = []

    def make() -> Scenario:
        made.append(Scenario.model_validate(data, context=reading))
        return made[0]

    findings = scenario_findings(data, reading, make, cases=cases, timing_only=timing_only)
    return (None, findings) if findings else (made[0], [])


def scenario_findings(
    data: dict[str, Any],
    reading: ValidationContext,
    make: Callable[[], Scenario],
    *,
    cases: int = 1,
    timing_only: bool = False,
) -> list[Finding]:
    """All that is wrong with a scenario.

    Args:
        data: what is written, as plain data.
        reading: how it is validated.
        make: makes the scenario, or raises pydantic's error.
        cases, timing_only: as for `read_scenario`.
    """
    findings: list[Finding] = []
    try:
        scenario = make()
    except ValidationError as error:
        findings = explain(error, data, reading.catalogue)
        sections = _valid_sections(data, [f.path for f in findings], reading)
    else:
        sections = {name: getattr(scenario, name) for name in Scenario.model_fields}
    for name, section in sections.items():
        if name in data:
            findings += quiet_conversions(data[name], section, (name,))
    findings += exclusive_keys(data)
    fleet = sections.get("clients")
    clients = fleet.count if isinstance(fleet, Clients) else _written_count(data)
    findings += impossible_combinations(sections, clients, cases=cases, timing_only=timing_only)
    return findings


def _valid_sections(data: Any, wrong: list[KeyPath], reading: ValidationContext) -> dict[str, Any]:
    # One mistake must not hide that two other settings do not go together.
    sections: dict[str, Any] = {}
    for name, field in Scenario.model_fields.items():
        below = [path[1:] for path in wrong if path and path[0] == name]
        if name in data:
            section = valid_part(Scenario, name, data[name], reading, below)
            if section is not None:
                sections[name] = section
        elif not below and not field.is_required() and not field.validate_default:
            sections[name] = field.get_default(call_default_factory=True)
    return sections


def _written_count(data: dict[str, Any]) -> int | None:
    clients = data.get("clients")
    count = clients.get("count") if isinstance(clients, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else None


def _with_name(root: Node, stem: str) -> Node:
    assert isinstance(root.value, dict)
    if "name" in root.value:
        return root
    name = Node(sanitised(stem) or "scenario", root.where)
    return Node({"name": name, **root.value}, root.where, root.key_places)


def _study(text: str, runs: list[Case], *, is_study: bool) -> Study:
    first = runs[0].scenario
    is_study = is_study or len(runs) > 1
    if not is_study:
        return Study(first.name, first.description, text, (Case(first.name, first),), False)
    labels = unique(run.label for run in runs)
    cases = tuple(
        Case(
            label,
            run.scenario.model_copy(update={"name": f"{run.scenario.name}-{label}"}),
            run.title,
        )
        for label, run in zip(labels, runs, strict=True)
    )
    return Study(first.name, first.description, text, cases, True)
