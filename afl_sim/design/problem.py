"""A design: the scenario, its space of points, and what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from afl_sim.design.space import Point, Space
from afl_sim.scenario import Scenario, ValidationContext, scenario_id
from afl_sim.scenario.dumping import as_data
from afl_sim.scenario.loading import read_scenario, read_tree
from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.mistakes.report import Mistakes
from afl_sim.scenario.sections.design import Design
from afl_sim.scenario.study import replication_seed
from afl_sim.scenario.yaml.nodes import Node, plain
from afl_sim.scenario.yaml.writing import as_text

Inspect = Callable[[Scenario], Iterable[tuple[tuple[str, ...], str]]]


@dataclass(frozen=True)
class Candidate:
    """One setting that is considered.

    Attributes:
        number: counts the candidates in the order in which they were proposed.
        point: its parameters.
        title: names it in tables.
        scenario: its run with the first seed.
    """

    number: int
    point: Point
    title: str
    scenario: Scenario

    @property
    def label(self) -> str:
        """Names its folders."""
        return f"c{self.number:03d}"

    def run(self, index: int) -> Scenario:
        """The scenario of its run with one of the seeds; 0 is the first.

        The replications of the file are those of the scenario itself: a design has its ``seeds``.
        """
        seed = replication_seed(self.scenario.seed, index)
        name = f"{self.scenario.name}-{self.label}-s{index}"
        return self.scenario.model_copy(update={"seed": seed, "name": name, "replications": 1})


@dataclass(frozen=True)
class Problem:
    """A design that is to be solved.

    Attributes:
        design: what is asked for.
        space: what may vary.
        scenario: the scenario of the file, as it stands.
        source: the text of the file.
        folder: the folder from which its paths go out.
        vary: the dotted keys that vary, by the file.
    """

    design: Design
    space: Space
    scenario: Scenario
    source: str
    folder: Path
    vary: tuple[str, ...]
    _root: Node = field(repr=False)
    _places: Mapping[str, str] = field(repr=False)
    _mistakes: Mistakes = field(repr=False)
    _reading: ValidationContext = field(repr=False)
    _inspect: Inspect = field(repr=False)
    _says_where: bool = field(repr=False)

    def candidate(self, number: int, point: Point) -> Candidate | str:
        """The candidate of a point; or, in a line, why the point cannot be run."""
        tree = self.space.tree(self._root, point)
        scenario, findings = read_scenario(tree, self._reading)
        if scenario is not None:
            findings = [Finding(path, message) for path, message in self._inspect(scenario)]
        if scenario is None or findings:
            first = findings[0]
            return f"{'.'.join(map(str, first.path))}: {first.message}"
        return Candidate(number, point, self.space.title(point), scenario)

    def scenario_of(self, point: Point) -> Scenario | None:
        """The scenario of a point; None if its settings do not go together."""
        return read_scenario(self.space.tree(self._root, point), self._reading)[0]

    def file_of(self, candidate: Candidate) -> str:
        """The scenario file of a candidate: this file with its settings, and without the design.

        Where that would not be the same scenario, every default is written out.
        """
        name = f"{self.scenario.name}-winner"
        scenario = candidate.scenario.model_copy(update={"name": name})
        written = scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)
        content = plain(self.space.tree(self._root, candidate.point))
        # Paths in the file may go out from its folder, but not those of the scenario that was read.
        short = {**{key: written.get(key, value) for key, value in content.items()}, "name": name}
        for asked in (short, as_data(scenario)):
            if not self._says_where:
                asked.pop("execution", None)  # --workers is how the design was run
            text = as_text(asked)
            again = read_scenario(read_tree(text).root, self._reading)[0]
            if again is not None and scenario_id(again) == scenario_id(scenario):
                break
        return text

    def refuse(self, key: str, message: str) -> NoReturn:
        """Refuse the file for one of the keys of its design.

        Raises:
            ScenarioError: always.
        """
        self._mistakes.add(self._places.get(key, self._places[""]), f"design.{key}", message)
        raise self._mistakes.error()

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """By setting that would vary for nothing, the strategies beside which it has no effect."""
        found: dict[str, list[str]] = {}
        for parameter in self.vary:
            for option, keys in self.space.unread.items():
                if parameter in keys:
                    found.setdefault(parameter, []).append(str(option))
            if parameter not in [each.keys for each in self.space.parameters]:
                found[parameter] = [str(getattr(self.scenario.strategy, "kind", ""))]
        return {keys: tuple(options) for keys, options in found.items()}

    @property
    def identity(self) -> str:
        """Text that is the same for the same problem only."""
        return f"{scenario_id(self.scenario)} {self.design.model_dump_json()}"
