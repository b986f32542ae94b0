"""The figures of a design's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from afl_sim.design.objective import COSTS
from afl_sim.design.ranking import Placed, Trade
from afl_sim.design.reasons import Profile
from afl_sim.design.schedule import PHASES
from afl_sim.design.search import Search

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMES: Final = 8  # of points on a front
_LONGEST: Final = 48  # characters of a name


@dataclass(frozen=True)
class Drawing:
    """A figure on the page, with what it shows."""

    name: str
    description: str
    svg: Markup


def drawings(
    found: Search,
    placed: Sequence[Placed],
    profiles: Sequence[Profile],
    traded: tuple[str, Sequence[Trade]],
) -> list[Drawing]:
    """The figures of a design, those left out for which there is nothing to show."""
    from afl_sim.analysis.report.svg import inline_svg
    from afl_sim.analysis.theme import themed

    made = []
    wanted: list[tuple[str, str, float, Any]] = []
    compared = [each for each in placed if each.ratio is not None]
    if len(compared) > 1:
        wanted.append(
            (
                "ranking",
                "The cost of each finalist, in times of that of the best, with simultaneous "
                "intervals; the points are seeds.",
                0.9 + 0.33 * len(compared),
                lambda axes: _ranking(axes, compared),
            )
        )
    other, points = traded
    if len(points) > 1:
        wanted.append(
            (
                "trade-off",
                "Both costs to the target with the first seed, of every candidate that reached it; "
                "the line is the Pareto front.",
                3.6,
                lambda axes: _front(axes, found.goal.cost, other, points),
            )
        )
    wanted.append(
        (
            "time of tasks",
            "How the time of tasks is spent, as shares.",
            0.9 + 0.33 * len(profiles),
            lambda axes: _phases(axes, profiles),
        )
    )
    for name, description, height, draw in wanted:
        with themed() as style:
            figure = style.new_figure(height)
            draw(figure.subplots())
            made.append(
                Drawing(name, description, Markup(inline_svg(figure, name.replace(" ", "-"))))
            )
    return made


def _ranking(axes: Axes, placed: Sequence[Placed]) -> None:
    best = placed[0]
    for place, each in enumerate(placed):
        assert each.ratio is not None
        ratios = [
            cost / least
            for cost, least in zip(each.costs, best.costs, strict=True)
            if cost is not None and least
        ]
        color = "#0173b2" if each.ratio.is_known and each.ratio.low <= 1 else "#8a8a8a"
        axes.plot(ratios, [place] * len(ratios), "|", color=color, alpha=0.5, markersize=9)
        if each.ratio.is_known and each.rank > 1:
            axes.plot([each.ratio.low, each.ratio.high], [place, place], color=color, linewidth=1.8)
        axes.plot(each.ratio.mean, place, "o", color=color)
    axes.axvline(1.0, color="#8a8a8a", linewidth=0.8)
    axes.set_yticks(range(len(placed)), [_name(each.entry.title) for each in placed])
    axes.set_ylim(len(placed) - 0.5, -0.5)
    axes.set_xlabel("times the cost of the best")


def _front(axes: Axes, cost: str, other: str, points: Sequence[Trade]) -> None:
    scales = [COSTS[name][2] for name in (cost, other)]
    for each in points:
        x, y = (c * s for c, s in zip(each.costs, scales, strict=True))
        axes.plot(x, y, "o", color="#0173b2" if each.on_front else "#c4c4c4", zorder=1)
    front = sorted((each for each in points if each.on_front), key=lambda each: each.costs)
    line = [[c * s for c, s in zip(each.costs, scales, strict=True)] for each in front]
    axes.plot(
        *zip(*line, strict=True), color="#0173b2", linewidth=1, zorder=0, drawstyle="steps-post"
    )
    names: dict[tuple[float, ...], list[str]] = {}
    for each, (x, y) in zip(front, line, strict=True):
        names.setdefault((x, y), []).append(_name(each.entry.title))
    for (x, y), titles in list(names.items())[:_MOST_NAMES]:
        told = titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"
        axes.annotate(told, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    for name, set_label in ((cost, axes.set_xlabel), (other, axes.set_ylabel)):
        label, unit, _ = COSTS[name]
        set_label(f"{label} ({unit})" if unit else label)


def _phases(axes: Axes, profiles: Sequence[Profile]) -> None:
    colors = dict(zip(PHASES, ("#56b4e9", "#cc78bc", "#0173b2", "#de8f05"), strict=True))
    shown = [phase for phase in PHASES if any(each.phases[phase] for each in profiles)]
    for place, each in enumerate(profiles):
        left = 0.0
        for phase in shown:
            share = each.phases[phase]
            axes.barh(
                place,
                share,
                left=left,
                height=0.62,
                color=colors[phase],
                label=phase if not place else None,
            )
            left += share
    axes.set_yticks(range(len(profiles)), [_name(each.title) for each in profiles])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize="small"
    )


def _name(title: str) -> str:
    return title if len(title) <= _LONGEST else title[: _LONGEST - 1] + "…"
