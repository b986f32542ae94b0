"""Paired differences between the settings of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from afl_sim.analysis.figures.study import ended, scaled
from afl_sim.analysis.intervals import differences
from afl_sim.analysis.measures import Measured, measure_of
from afl_sim.analysis.replications import short_names
from afl_sim.analysis.theme import Style, note, note_left_out, themed
from afl_sim.analysis.usable import CannotDraw
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PAIRS: Final = 40


def paired_differences(
    runs: Sequence[Run], *, style: str | Style = "paper", measured: Measured | None = None
) -> Figure:
    """A panel per measure: the paired differences between settings with their 95 % intervals.

    Pairs share their seeds and so their random draws; zero is no difference. A measure in which no
    pair of runs differs has no panel.

    Raises:
        CannotDraw: no two settings share two seeds, or a target was not always reached.
    """
    shown, others = ended(runs)
    found = differences(shown, measured)
    found = found[found["low"].notna()]
    if not len(found):
        raise CannotDraw("no two settings have two seeds in common")
    equal = (found["low"] == 0) & (found["high"] == 0)
    found = found[~equal.groupby(found["measure"]).transform("all") | equal.all()]
    pairs = list(dict.fromkeys(zip(found["a"], found["b"], strict=True)))
    if len(pairs) > MOST_PAIRS:
        within = set(pairs[:MOST_PAIRS])
        found = found[[pair in within for pair in zip(found["a"], found["b"], strict=True)]]
    names = list(dict.fromkeys(found["measure"]))
    with themed(style) as chosen:
        longest = 20 if chosen.is_narrow else 24
        names_of = short_names(shown, longest)
        short = {group.label: name for group, name in zip(shown, names_of, strict=True)}
        wide = max(len(short[row.a]) + len(short[row.b]) for row in found.itertuples()) > 24
        columns = 1 if wide or chosen.is_narrow else 2
        rows = math.ceil(len(names) / columns)
        most = max(len(found[found["measure"] == name]) for name in names)
        line = 0.42 if wide else 0.3
        height = rows * chosen.stroke * (0.85 + line * most)
        figure = chosen.new_figure(height)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(panels, names, strict=False):
            _draw_differences(axes, found[found["measure"] == name], short, wide, chosen)
    if len(pairs) > MOST_PAIRS:
        note(figure, f"the first {MOST_PAIRS} of {len(pairs):,} pairs of settings")
    note_left_out(figure, others)
    return figure


def _draw_differences(
    axes: Axes, rows: pd.DataFrame, short: dict[str, str], wide: bool, style: Style
) -> None:
    measure = measure_of(rows["measure"].iloc[0])
    mean, low, high = (scaled(rows, column) for column in ("difference", "low", "high"))
    places = np.arange(len(rows))
    color = style.colors.legs[1]
    axes.axvline(0, color=style.colors.ink, linewidth=0.9 * style.stroke)
    axes.hlines(places, low, high, color=color, linewidth=1.6 * style.stroke)
    axes.plot(mean, places, "o", color=color, markersize=5.5 * style.stroke)
    between = " −\n" if wide else " − "
    names = [f"{short[row.a]}{between}{short[row.b]}" for row in rows.itertuples()]
    axes.set_yticks(places, names, fontsize="x-small" if wide else "small")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    name, _, unit = measure.heading.partition(" (")
    unit = "percentage points" if measure.is_share else unit.rstrip(")")
    axes.set_title(name)
    axes.set_xlabel(f"difference ({unit})" if unit else "difference", fontsize="small")
    axes.grid(axis="y", visible=False)
