"""The check for figures of a user's own."""

from __future__ import annotations

from collections.abc import Sequence

from afl_sim.recording import Run


def check_figure(name: str, runs: Sequence[Run]) -> None:
    """Draw a figure in every style, and twice.

    Args:
        name: ``package.module:function``, or the name of an installed figure.
        runs: what it is to show.

    Raises:
        AssertionError: the same runs give another picture the second time.
        InputError: there is no such figure.
        OwnRuleError: it raised an exception, or returned no figure.
        CannotDraw: these runs lack what it needs.
    """
    from afl_sim.analysis.drawing import rendered
    from afl_sim.analysis.own_figures import figure_kind
    from afl_sim.analysis.theme import STYLES

    kind = figure_kind(name)
    for style in STYLES:
        pictures = [rendered(kind.function(runs, style=style), "png", 40) for _ in range(2)]
        assert pictures[0] == pictures[1], f"{name} draws other pictures of the same runs"
