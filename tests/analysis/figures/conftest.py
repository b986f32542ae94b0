"""Runs that are drawn, and what holds for every test that draws."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from fake_runs import fake_run
from figure_checks import LONG

from afl_sim.recording import EventLog, MetricsLog, RunFolder, load_run
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, COMPUTED, DISPATCHED, DOWNLOADED


@pytest.fixture(autouse=True)
def _drawing_changes_nothing_global_and_opens_no_window():
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


@pytest.fixture
def _unrendered(monkeypatch):
    """Figures are drawn and their files written, but empty."""
    monkeypatch.setattr("afl_sim.analysis.drawing.rendered", lambda figure, form: b"")


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    kinds = ["fedavg", "fedasync", "fedbuff", "ringmaster", "quafl", "fedat", "fedprox"]
    labels = ["fedavg", LONG, "fedbuff", "ringmaster", "quafl", "fedat-" + LONG, "fedprox-mu-0.01"]
    return [
        fake_run(
            folder / kind,
            label=label,
            strategy=kind,
            buffer=index + 1,
            updates=150,
            tau=10.0 * (index + 1),
            seed=index // 4 + 1,
        )
        for index, (kind, label) in enumerate(zip(kinds, labels, strict=True))
    ]


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Two strategies, three sizes of fleet, two concurrencies, two seeds."""
    folder = tmp_path_factory.mktemp("study")
    found = []
    cells = itertools.product(("fedavg", "fedbuff"), (12, 20, 40), (5, 10), (1, 2))
    for kind, clients, concurrency, seed in cells:
        label = f"{kind}_count={clients}_concurrency={concurrency}-r{seed}"
        run = fake_run(
            folder / label,
            label=label,
            strategy=kind,
            clients=clients,
            concurrency=concurrency,
            seed=seed,
            updates=40,
            tau=5.0 if kind == "fedbuff" else 60.0,
        )
        run.scenario["strategy"]["concurrency"] = concurrency
        found.append(run)
    return found


@pytest.fixture(scope="session")
def timing_only(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("t") / "t", label="clock", training=False, updates=60)


@pytest.fixture
def by_hand(tmp_path):
    """Three clients: 0 computes 2 s twice, 1 computes 8 s once, 2 never finishes."""
    scenario = "name: hand\nclients: {count: 4}\nstrategy: {kind: fedasync}\n"
    folder = RunFolder.create(tmp_path / "hand", scenario, {})
    second = 1_000_000
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        for client in range(3):
            log.append(0, DISPATCHED, client, 0, 0, 0)
        log.append(second, DOWNLOADED, 0, 0, 0, 0)
        log.append(3 * second, COMPUTED, 0, 0, 0, 0)
        log.append(4 * second, ARRIVED, 0, 0, 0, 0)
        log.append(4 * second, AGGREGATED, 0, 0, 1, 0, 0)
        log.append(4 * second, DISPATCHED, 0, 1, 1, 1)
        log.append(4 * second, DOWNLOADED, 0, 1, 1, 1)
        log.append(6 * second, COMPUTED, 0, 1, 1, 1)
        log.append(6 * second, ARRIVED, 0, 1, 1, 1)
        log.append(6 * second, AGGREGATED, 0, 1, 2, 1, 0)
        log.append(8 * second, COMPUTED, 1, 0, 2, 0)
        log.append(8 * second, ARRIVED, 1, 0, 2, 0)
        log.append(8 * second, AGGREGATED, 1, 0, 3, 0, 2)
    return load_run(folder.path)
