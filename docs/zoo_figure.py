"""Draws docs/images/zoo.png from docs/zoo.json: python docs/zoo_figure.py"""

from __future__ import annotations

from typing import Any

import zoo
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from afl_sim.analysis.drawing import rendered
from afl_sim.analysis.theme import Style, new_figure, themed
from afl_sim.strategies import strategies

IMAGE = zoo.ROOT / "docs" / "images" / "zoo.png"
TARGETS = {"0.8": ("80 %", "o"), "0.9": ("90 %", "D")}
TIMINGS = ("synchronous", "semi-synchronous", "asynchronous")
HORIZON = 900
BEYOND = {"0.8": 970, "0.9": 1040}


def rows() -> list[tuple[str, str, dict[str, Any]]]:
    """(timing, label, figures) of each case, a timing's best one first."""
    timings = {
        label: strategies()[settings["strategy"]["kind"]].about
        for label, settings in zoo.cases().items()
    }
    return sorted(
        (
            (about.timing, label, row)
            for label, row in zoo.figures().items()
            if (about := timings[label]) is not None and "accuracy" in row
        ),
        key=lambda entry: (TIMINGS.index(entry[0]), -entry[2]["accuracy"]),
    )


def figure() -> Figure:
    """A row a case, by timing: left the virtual time (s) to a target, right the accuracy (%).

    A target that was not reached is an open mark beyond the end of the runs.
    """
    shown = rows()
    with themed("paper") as style:
        drawn = new_figure(style.width, 0.21 * (len(shown) + len(TIMINGS)) + 0.9)
        left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        names = []
        for number, (timing, label, row) in enumerate(shown):
            place = number + TIMINGS.index(timing)
            color = style.colors.palette[TIMINGS.index(timing)]
            for target, (_, mark) in TARGETS.items():
                seconds = row["seconds_to"].get(target)
                left.plot(
                    BEYOND[target] if seconds is None else seconds,
                    place,
                    mark,
                    color=color,
                    markerfacecolor="none" if seconds is None else color,
                    markersize=5,
                    clip_on=False,
                )
            right.plot(100 * row["accuracy"], place, "o", color=color, markersize=5)
            names.append((place, label))
        left.set_yticks([place for place, _ in names], [label for _, label in names])
        left.set_ylim(len(shown) + len(TIMINGS) - 1.5, -0.7)
        left.set_xlim(0, 1.2 * HORIZON)
        ticks = list(range(0, HORIZON + 1, 150))
        left.set_xticks([*ticks, sum(BEYOND.values()) / 2], [*map(str, ticks), "not\nreached"])
        left.axvline(HORIZON, color=style.colors.faint, linewidth=0.8)
        left.set(xlabel="virtual time (s)", title="Time to an accuracy")
        right.set_xlim(0, 100)
        right.set(xlabel="test accuracy (%)", title=f"Accuracy at {HORIZON} s")
        for axes in (left, right):
            axes.tick_params(axis="y", labelsize="small")
        _legend(drawn, style)
    return drawn


def _legend(drawn: Figure, style: Style) -> None:
    handles = [
        Line2D([], [], color=color, marker="s", linestyle="none", label=timing)
        for timing, color in zip(TIMINGS, style.colors.palette, strict=False)
    ]
    handles += [
        Line2D([], [], color=style.colors.ink, marker=mark, linestyle="none", label=f"to {name}")
        for name, mark in TARGETS.values()
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=5, fontsize="small")


if __name__ == "__main__":
    IMAGE.write_bytes(rendered(figure(), "png", dpi=100))
