"""The figure of times to a target accuracy."""

import warnings

import pytest
from fake_runs import fake_run
from figure_checks import varied

from afl_sim.analysis import FIGURES
from afl_sim.analysis.replications import groups

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_what_was_not_reached_is_an_outline_and_says_so(runs):
    late = [runs[0], runs[6]]  # accuracy rises with 10 s and with 70 s
    for run in late:
        run.summary["time_to_accuracy"]["0.95"] = None
    ninety, ninety_five = FIGURES["time-to-accuracy"].function(late).axes
    reached = late[0].summary["time_to_accuracy"]["0.9"]
    assert ninety.patches[0].get_width() == pytest.approx(reached)
    assert ninety.patches[0].get_fill()
    assert [text.get_text() for text in ninety_five.texts] == ["not reached"] * 2
    assert not any(patch.get_fill() for patch in ninety_five.patches)
    length = late[0].summary["virtual_seconds"]
    assert ninety_five.patches[0].get_width() == pytest.approx(length)


def test_bars_over_replications_never_leave_out_who_did_not_reach(study):
    members = groups(study)[6].runs
    members[0].summary["time_to_accuracy"] = {"0.9": 10.0, "0.95": None}
    members[1].summary["time_to_accuracy"] = {"0.9": 12.0, "0.95": 20.0}
    ninety, ninety_five = FIGURES["time-to-accuracy"].function(members).axes
    assert ninety.patches[0].get_width() == pytest.approx(11.0)
    assert len(ninety.collections) == 1  # the interval
    assert [text.get_text() for text in ninety_five.texts] == ["reached (1 of 2)"]


def test_a_target_reached_in_no_time_has_an_axis_of_its_own(tmp_path):
    run = varied(fake_run(tmp_path / "run", updates=5), seconds=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of an axis without length
        axes = FIGURES["time-to-accuracy"].function([run]).axes[0]
    assert axes.get_xlim()[1] > 0
