"""The figure of what a controller does."""

from __future__ import annotations

import pytest
from figure_checks import visible_axes
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.analysis import FIGURES
from afl_sim.analysis.figures.adaptation import steps_of
from afl_sim.analysis.usable import CannotDraw

FOLLOWS = "{kind: 'own_rules:Follows', every: 4, concurrency: [7, 2, null], buffer_size: [2, 3]}"


def test_the_steps_are_those_of_the_log_from_the_strategys_own_value(tmp_path):
    settings = (
        "strategy={kind: fedbuff, concurrency: 4, buffer_size: 2}",
        f"server.adaptive={FOLLOWS}",
    )
    run = simulate(load_scenario(SMALLEST, settings), tmp_path / "run", timing_only=True)
    seconds, values = steps_of(run, "concurrency")
    assert values.tolist() == [4, 7, 2, 2]
    assert steps_of(run, "buffer_size")[1].tolist() == [2, 2, 3, 3]
    events = run.events
    decided = events.loc[events["kind"] == "adapted", "time_us"] / 1e6
    assert seconds[1:-1].tolist() == decided.tolist()
    concurrency, size = visible_axes(FIGURES["adaptation"].function([run]))
    assert concurrency.get_lines()[0].get_ydata().tolist() == [4, 7, 2, 2]
    assert size.get_ylabel() == "buffer size (updates)"


def test_a_run_without_a_controller_cannot_be_drawn(runs):
    with pytest.raises(CannotDraw, match=r"no server\.adaptive"):
        FIGURES["adaptation"].function(runs[:1])
