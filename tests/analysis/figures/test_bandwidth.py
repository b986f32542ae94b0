"""The figure of links whose bandwidth follows a trace."""

import numpy as np
import pytest
from figure_checks import visible_axes
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.analysis import FIGURES
from afl_sim.analysis.figures.bandwidth import met, offered
from afl_sim.analysis.series import horizon
from afl_sim.analysis.usable import CannotDraw
from afl_sim.analysis.view import View


@pytest.fixture
def run(tmp_path):
    """Uploads at 4,000, then 1,000 bytes per second, over and over; or 2,000, which is held."""
    (tmp_path / "links.csv").write_text("client,start,end,bandwidth\n0,0,3,4000\n0,3,10,1000\n")
    (tmp_path / "held.csv").write_text("start,end,bandwidth\n0,1,500\n1,2,2000\n")
    traced = f"{{trace: '{tmp_path / 'links.csv'}', by: client}}"
    held = f"{{trace: '{tmp_path / 'held.csv'}', after_end: hold}}"
    settings = (
        "strategy={kind: fedavg, clients_per_round: 2}",  # at its end nothing is under way
        "clients.count=2",
        "clients.groups=[{name: a, count: 1, network: {upload: {bandwidth_trace: "
        f"{traced}}}}}}}, {{name: b, count: 1, network: {{upload: {{bandwidth_trace: {held}}}}}}}]",
        "stop={versions: 3}",
    )
    return simulate(load_scenario(SMALLEST, settings), tmp_path / "run", timing_only=True)


def test_the_bandwidth_of_each_link_is_that_of_its_trace(run):
    seconds, rates = offered(run, "upload")
    group = run.client_groups.tolist()
    repeated, kept = rates[group.index("a")], rates[group.index("b")]
    assert horizon(run) > 20
    inside = seconds % 10
    clear = np.minimum(abs(inside - 3), np.minimum(inside, 10 - inside)) > 1e-3
    assert (repeated[clear] == np.where(inside < 3, 4000.0, 1000.0)[clear]).all()
    assert (kept == np.where(seconds < 1, 500.0, 2000.0)).all()


def test_the_rates_of_transfers_add_up_to_their_bytes(run):
    edges = np.linspace(0, horizon(run), 7)
    rates = met(run, "upload", edges)
    events = run.events
    sent = {
        kind: events[events["kind"] == kind].set_index(["client", "task"])
        for kind in ("computed", "arrived")
    }
    begin = sent["computed"]["time_us"] / 1e6
    end = sent["arrived"]["time_us"].loc[begin.index] / 1e6
    speed = sent["arrived"]["bytes"].loc[begin.index] / (end - begin)
    assert len(begin) == 6
    for low, high, rate in zip(edges, edges[1:], rates, strict=False):
        shared = (np.minimum(end, high) - np.maximum(begin, low)).clip(lower=0)
        if shared.sum() < 1e-6:
            assert np.isnan(rate)
        else:
            assert rate == pytest.approx((speed * shared).sum() / shared.sum())
    # No transfer is faster than the fastest link.
    assert 500 <= np.nanmin(rates) <= np.nanmax(rates) <= 4000


def test_only_directions_with_a_trace_have_a_panel(run):
    (upload,) = visible_axes(FIGURES["bandwidth"].function([run]))
    assert upload.get_title() == "Upload"
    mean, had = upload.get_lines()
    _, rates = offered(run, "upload")
    assert mean.get_ydata() == pytest.approx(rates.mean(axis=0) / 1e3)
    assert len(had.get_ydata()) == 60
    view = View(None, xlim=(2.0, 8.0), ylim=(0.5, 3.0))
    (upload,) = visible_axes(FIGURES["bandwidth"].function([run], view=view))
    assert (upload.get_xlim(), upload.get_ylim()) == (view.xlim, view.ylim)


@pytest.fixture
def served(tmp_path):
    """Uploads that share 6,000, then 2,000 bytes per second; and two downloads at 9,000 each."""
    (tmp_path / "server.csv").write_text("start,end,bandwidth\n0,4,6000\n4,10,2000\n")
    settings = (
        "strategy={kind: fedavg, clients_per_round: 3}",
        "clients={count: 3}",
        f"server.upload={{kind: shared, bandwidth_trace: {tmp_path / 'server.csv'}}}",
        "server.download={kind: fifo, bandwidth: 9000, slots: 2}",
        "stop={versions: 3}",
    )
    return simulate(load_scenario(SMALLEST, settings), tmp_path / "served", timing_only=True)


def test_links_of_the_server_have_panels_of_their_own(served):
    download, upload = visible_axes(FIGURES["bandwidth"].function([served]))
    assert [axes.get_title() for axes in (download, upload)] == ["Server download", "Server upload"]
    link, moved = upload.get_lines()
    seconds, rates = link.get_xdata() % 10, link.get_ydata()
    clear = np.minimum(abs(seconds - 4), np.minimum(seconds, 10 - seconds)) > 1e-3
    assert (rates[clear] == np.where(seconds < 4, 6.0, 2.0)[clear]).all()
    spans = horizon(served) / 60
    sent = served.events.query("kind == 'arrived'")["bytes"].sum()
    assert sum(moved.get_ydata()) * spans * 1e3 == pytest.approx(sent)
    assert max(moved.get_ydata()) <= 6.0 * (1 + 1e-9)  # all begin and end together
    constant, moved = download.get_lines()
    assert set(constant.get_ydata()) == {18.0}  # both slots
    loaded = served.events.query("kind == 'downloaded'")["bytes"].sum()
    assert sum(moved.get_ydata()) * spans * 1e3 == pytest.approx(loaded)


def test_a_server_link_stands_beside_those_of_clients(run, served):
    figure = FIGURES["bandwidth"].function([run, served])
    titles = [axes.get_title().split(": ")[-1] for axes in visible_axes(figure)]
    assert titles == 2 * ["server download", "upload", "server upload"]


def test_a_trace_of_the_server_that_is_no_longer_there_is_told(served, tmp_path):
    (tmp_path / "server.csv").unlink()
    with pytest.raises(CannotDraw, match="its server's links cannot be read again"):
        FIGURES["bandwidth"].function([served])


def test_a_trace_that_is_no_longer_there_is_told(run, tmp_path):
    (tmp_path / "links.csv").unlink()
    with pytest.raises(CannotDraw, match="its clients cannot be read again"):
        FIGURES["bandwidth"].function([run])


def test_links_with_a_constant_bandwidth_cannot_be_drawn(runs):
    with pytest.raises(CannotDraw, match="no client has a link with a bandwidth_trace"):
        FIGURES["bandwidth"].function(runs[:1])
