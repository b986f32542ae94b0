"""The timeline of clients."""

import pytest
from fake_runs import fake_run
from figure_checks import assert_texts_are_apart, visible_axes

from afl_sim.analysis import FIGURES
from afl_sim.analysis.activity import spans_of
from afl_sim.analysis.figures.timeline import choose_clients, timeline
from afl_sim.recording.columns import columns_of
from afl_sim.recording.tasks import task_columns

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_legs_by_hand(by_hand):
    tasks = task_columns(columns_of(by_hand.events))

    def legs(client):
        mine = {name: column[tasks["client"] == client] for name, column in tasks.items()}
        return spans_of(mine, until=8.0)

    assert legs(0) == {
        "download": [(0.0, 1.0)],
        "queueing": [],
        "compute": [(1.0, 3.0), (4.0, 6.0)],
        "upload": [(3.0, 4.0)],
    }
    # Still on its way down when the run ended.
    assert legs(2)["download"] == [(0.0, 8.0)]


def test_the_timeline_orders_its_clients_by_speed(by_hand, runs):
    assert choose_clients([by_hand], 20) == [0, 1, 2]
    assert choose_clients([by_hand], 2) == [0, 2]
    chosen = choose_clients(runs[:1], 20)
    assert len(chosen) == len(set(chosen)) == 20
    tasks = runs[0].tasks
    spent = tasks["computed"] - tasks["started"].fillna(tasks["dispatched"])
    means = spent.groupby(tasks["client"]).mean().dropna()
    speeds = [means[client] for client in chosen if client in means.index]
    assert speeds == sorted(speeds)


def test_the_timeline_takes_a_window(runs):
    figure = FIGURES["timeline"].function(runs[:2], window=(10.0, 20.0))
    for axes in visible_axes(figure):
        assert axes.get_xlim() == (10.0, 20.0)


def test_the_timeline_numbers_versions_and_takes_chosen_clients(by_hand):
    (axes,) = FIGURES["timeline"].function([by_hand], clients=[1, 0]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["1", "0", "server"]
    assert [text.get_text() for text in axes.texts] == ["1", "2"]  # version 3 ends the run


def test_sixty_clients_are_named_on_a_timeline(tmp_path):
    run = fake_run(tmp_path / "a", clients=80, concurrency=60, updates=200)
    figure = timeline([run], clients=60)
    assert len(figure.axes[0].get_yticklabels()) == 61
    assert_texts_are_apart(figure)
