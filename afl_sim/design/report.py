"""The page of a design: who wins, by how much, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from afl_sim.analysis.report.tables import Table, table_of
from afl_sim.design.drawings import Drawing, drawings
from afl_sim.design.objective import COSTS
from afl_sim.design.ranking import Placed, Trade, geometric_mean
from afl_sim.design.reasons import Profile
from afl_sim.design.schedule import PHASES
from afl_sim.design.screening import IN_WORDS
from afl_sim.design.search import Search
from afl_sim.recording.files import write_text
from afl_sim.scenario.wording import one_line

REPORT: Final = "report.html"
_SCRIPTS: Final = ("tables",)


@dataclass(frozen=True)
class _Shown:
    """A cost as it is shown."""

    name: str
    unit: str
    scale: float

    def text(self, cost: float | None) -> str:
        if cost is None:
            return "-"
        value = cost * self.scale
        return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"

    @property
    def heading(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


def shown(cost: str) -> _Shown:
    """How a cost is shown."""
    return _Shown(*COSTS[cost])


def write_report(
    path: Path,
    found: Search,
    placed: Sequence[Placed],
    profiles: Sequence[Profile],
    traded: tuple[str, Sequence[Trade]],
    index: Mapping[str, Any],
    winner: str,
) -> None:
    """Write the page.

    Args:
        path: the file.
        found: the search.
        placed: the ranking.
        profiles: what the winner and its rivals do.
        traded: the other cost, and the candidates by their two costs.
        index: the content of ``design.json``.
        winner: the text of ``winner.yaml``.

    Raises:
        AflSimError: it cannot be written; nothing is left behind.
    """
    here = files("afl_sim.analysis.report")
    style = (here / "page.css").read_text(encoding="utf-8")
    scripts = [(here / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    scenario = found.problem.scenario
    figures: list[Drawing] = drawings(found, placed, profiles, traded)
    page = (
        _templates()
        .get_template("design.html")
        .render(
            style=Markup(style),
            script=Markup("\n".join(scripts)),
            title=one_line(f"{scenario.name}: {index['objective']}"),
            description=one_line(" ".join(scenario.description.split())),
            study=None,
            data={},
            result=headline(found, placed),
            reasons=index["reasons"],
            facts=_facts(found, index),
            ranking=ranking_table(found, placed),
            profiles=_profile_table(found, profiles),
            figures=figures,
            fates=_fates(found),
            winner=winner,
        )
    )
    write_text(path, page)


def headline(found: Search, placed: Sequence[Placed]) -> str:
    """The result in a sentence or two."""
    best, cost = placed[0], shown(found.goal.cost)
    if best.mean is None:
        share = best.entry.rungs[-1]
        return (
            f"No candidate reached {found.goal.text} with every seed within "
            f"{cost.text(found.limit)} {cost.unit} of {cost.name}. {best.entry.title} came "
            f"nearest: {min(share, 1.0):.0%} of the way on average."
        )
    told = (
        f"{best.entry.title} reaches {found.goal.text} at the least {cost.name}: "
        f"{cost.text(best.mean)} {cost.unit}".rstrip()
        + (
            ", with one seed."
            if found.seeds == 1
            else f", the geometric mean of {found.seeds} seeds."
        )
    )
    near = [each for each in placed[1:] if each.ratio is not None and not each.ratio.low > 1]
    if near:
        told += f" The data does not tell {len(near)} other"
        told += " candidate from it." if len(near) == 1 else " candidates from it."
    return told


def ranking_table(found: Search, placed: Sequence[Placed]) -> Table:
    """The finalists, a row each."""
    cost = shown(found.goal.cost)
    ratios = []
    for each in placed:
        ratio = each.ratio
        if ratio is None:
            ratios.append("-")
        elif each.rank == 1 or not ratio.is_known:
            ratios.append(f"{ratio.mean:.3f}")
        else:
            ratios.append(f"{ratio.mean:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
    return table_of(
        [
            ("candidate", [each.entry.title for each in placed]),
            (f"{cost.heading} to {found.goal.text}", [cost.text(each.mean) for each in placed]),
            ("times the best", ratios),
            ("verdict", [each.verdict for each in placed]),
        ],
        "Geometric means over the seeds. In brackets: Tukey's simultaneous 95 % intervals for "
        "ratios of paired costs, which hold for all pairs of rows at once.",
    )


def _profile_table(found: Search, profiles: Sequence[Profile]) -> Table:
    cost = shown(found.goal.cost)
    phases = [phase for phase in PHASES if any(each.phases[phase] >= 0.005 for each in profiles)]
    rows: list[tuple[str, Callable[[Profile], str]]] = [
        (f"{cost.heading} to {found.goal.text}", lambda p: cost.text(p.cost)),
        ("seeds", lambda p: str(len(p.costs))),
        ("updates to the target", lambda p: _whole(geometric_mean(p.updates))),
        ("updates per second", lambda p: f"{p.updates_per_second:.3g}"),
        ("versions per second", lambda p: f"{p.versions_per_second:.3g}"),
        ("mean staleness (versions)", lambda p: f"{p.mean_staleness:.2f}"),
        ("95 % of updates are at most so stale", lambda p: f"{p.staleness_p95:.1f}"),
        ("idle time", lambda p: f"{p.idle_fraction:.1%}"),
        ("wasted work", lambda p: f"{p.wasted_fraction:.1%}"),
        *((f"time of tasks: {phase}", partial(_share, phase)) for phase in phases),
    ]
    return table_of(
        [
            ("", [name for name, _ in rows]),
            *((each.title, [text(each) for _, text in rows]) for each in profiles),
        ],
        "The winner, the next one, and the best candidate of each other strategy, each by the "
        "seeds with which it was trained; the costs and the updates to the target are geometric "
        "means. Idle time: the "
        "share in which clients had no task, among as many as ever had one at once. Wasted work: "
        "the share of the time of tasks whose update was never used.",
    )


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _share(phase: str, profile: Profile) -> str:
    return f"{profile.phases[phase]:.0%}"


def _facts(found: Search, index: Mapping[str, Any]) -> list[tuple[str, str]]:
    spent, grid = found.spent.samples, found.grid_samples
    facts = [
        ("objective", index["objective"]),
        *(("constraint", each) for each in index["constraints"]),
        ("candidates", f"{len(found.entries):,}"),
        ("seeds", str(found.seeds)),
        ("samples trained", f"{spent:,}"),
        ("samples of all candidates, all seeds, to their ends", f"{grid:,}"),
    ]
    if grid:
        facts.append(("share", f"{spent / grid:.1%}"))
    return facts


def _fates(found: Search) -> Table:
    counts = Counter(entry.fate for entry in found.entries)
    rows = [
        (fate, next(entry for entry in found.entries if entry.fate == fate))
        for fate in IN_WORDS
        if counts[fate]
    ]
    return table_of(
        [
            ("fate", [IN_WORDS[fate] for fate, _ in rows]),
            ("candidates", [f"{counts[fate]:,}" for fate, _ in rows]),
            ("such as", [one_line(f"{entry.title}", 80) for _, entry in rows]),
            ("because", [one_line(entry.why or "-", 90) for _, entry in rows]),
        ]
    )


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("afl_sim.design", "page"),
                jinja2.PackageLoader("afl_sim.analysis", "report"),
            ]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
