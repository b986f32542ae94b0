"""The figure of the network."""

import numpy as np
import pandas as pd
import pytest
from figure_checks import visible_axes
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.analysis import FIGURES
from afl_sim.analysis.transfers import transfer_batches

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_the_network_shows_every_byte_by_direction(runs):
    moved, under_way = visible_axes(FIGURES["network"].function(runs[:1]))
    events = runs[0].events
    for line, kind in zip(moved.get_lines(), ("downloaded", "arrived"), strict=True):
        total = events.loc[events["kind"] == kind, "bytes"].sum()
        assert line.get_ydata()[-1] == pytest.approx(total / 1e6)
    # Averages over time times the length are the seconds that the transfers took in all.
    length = events["time_us"].iloc[-1] / 1e6
    table = pd.concat(transfer_batches(runs[0]))
    for line, way in zip(under_way.get_lines(), ("download", "upload"), strict=True):
        mine = table[table["direction"] == way]
        spent = (mine["end"] - mine["begin"]).sum()
        assert np.mean(line.get_ydata()) * length == pytest.approx(spent)


def test_bytes_that_take_no_time_are_moved_all_the_same(tmp_path):
    settings = (
        "clients.network={upload: {bandwidth: 3.0e4}}",
        "strategy={kind: fedavg, clients_per_round: 8}",  # at its end nothing is under way
        "stop={versions: 2}",
    )
    run = simulate(load_scenario(SMALLEST, settings), tmp_path / "run", timing_only=True)
    moved, under_way = visible_axes(FIGURES["network"].function([run]))
    down, up = (line.get_ydata()[-1] for line in moved.get_lines())
    assert down == up > 0  # each client gets a model and sends one
    instant, _ = under_way.get_lines()
    assert instant.get_ydata().tolist() == [0.0] * 120


def test_a_line_for_the_servers_link_is_drawn_where_there_is_one(by_hand):
    by_hand.scenario["server"] = {"upload": {"kind": "fifo", "slots": 1, "bandwidth": 10.0}}
    _, under_way, busy = visible_axes(FIGURES["network"].function([by_hand]))
    assert len(under_way.get_lines()) == 3  # down, up, and in line
    used = busy.get_lines()[0].get_ydata()
    assert np.mean(used) == pytest.approx(100 * 1 / 8)  # one upload of 1 s in 8 s
    assert busy.get_ylabel() == "busy (%)"


@pytest.mark.parametrize("kind", ["fifo", "shared"])
def test_a_clients_own_path_is_no_part_of_the_servers_link(kind, tmp_path):
    link = f"{{kind: {kind}, bandwidth: 4.0e4}}"
    own = "{latency: 0.7, bandwidth: {dist: lognorm, s: 0.5, scale: 3.0e4}}"
    settings = (
        f"server={{download: {link}, upload: {link}}}",
        f"clients.network={{download: {own}, upload: {own}}}",
        "strategy={kind: fedavg, clients_per_round: 8}",  # at its end nothing is under way
        "stop={versions: 5}",
    )
    run = simulate(load_scenario(SMALLEST, settings), tmp_path / kind, timing_only=True)
    table = pd.concat(transfer_batches(run))
    for way in ("download", "upload"):
        mine = table[table["direction"] == way]
        spent = mine["link_end"] - mine["link_begin"]
        links = run.summary["links"][way]
        assert len(spent) == links["transfers"] == 40
        assert spent.mean() == pytest.approx(links["mean_seconds"])
        assert (spent < mine["end"] - mine["begin"] - 0.69).all()
    *_, busy = visible_axes(FIGURES["network"].function([run]))
    for line, way in zip(busy.get_lines(), ("download", "upload"), strict=True):
        used = np.mean(line.get_ydata()) / 100
        assert used == pytest.approx(run.summary["links"][way]["utilisation"])
