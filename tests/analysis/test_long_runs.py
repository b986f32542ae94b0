"""Runs that are read part by part: the same tables and figures, and memory that does not grow."""

import tracemalloc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from fake_runs import fake_log, fake_run
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.analysis import activity, distribution, rounds, warm_up
from afl_sim.analysis.activity import Activity, nth_dispatch, versions_within
from afl_sim.analysis.distribution import Distribution, pooled
from afl_sim.analysis.measures import measurements
from afl_sim.analysis.tally import LEGS, Tally
from afl_sim.analysis.transfers import Occupancy, transfer_batches
from afl_sim.analysis.warm_up import BATCH, BatchMeans
from afl_sim.recording import EventLog, MetricsLog, RunFolder, load_run, run_events
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, DISPATCHED

SECOND = 1_000_000
SCHEDULES = [
    "strategy={kind: fedavg, clients_per_round: 4}",
    "strategy={kind: fedbuff, concurrency: 6, buffer_size: 3}",
    "clients.queue=fifo",
]


def scheduled(tmp_path, setting):
    queue = ["strategy.concurrency=9"] if "queue" in setting else []
    up = "clients.network={upload: {latency: 0.2, bandwidth: 5.0e4}}"
    link = "server={upload: {kind: fifo, slots: 1, bandwidth: 5.0e5}}"
    settings = ["stop.updates=60", "recording.trace=false", up, link, setting, *queue]
    return simulate(load_scenario(SMALLEST, settings), tmp_path / "run", timing_only=True)


def described(run):
    """A tally as plain values."""
    found = Tally(run)
    clients = found.clients
    names = ("tasks", "used", "lost", "computed", "compute_us", "updates", "staleness")
    return {
        "clients": clients.clients.tolist(),
        **{name: clients[name].tolist() for name in names},
        "busy": found.busy.until(found.end_us).tolist(),
        **{leg: [part.tolist() for part in found.legs[leg].counted()] for leg in LEGS},
        "spans": [part.tolist() for part in found.spans.counted()],
        "stale": [part.tolist() for part in found.staleness.counted()],
        "warm": (found.series.cut(), found.series.count, found.series.total),
        "ends": (found.end_us, found.last_update_us, found.has_queues),
        "rounds": found.rounds.table().to_dict("list"),
        "last": found.rounds.last().to_dict() if len(found.rounds.table()) else None,
    }


@pytest.mark.parametrize("setting", SCHEDULES)
def test_what_is_counted_does_not_depend_on_the_parts(setting, tmp_path, monkeypatch):
    run = scheduled(tmp_path, setting)
    whole, measured = described(run), measurements(run)
    tasks = run.tasks
    assert sum(whole["tasks"]) == len(tasks)
    assert sum(whole["used"]) == tasks["aggregated"].notna().sum()
    spent = (tasks["computed"] - tasks["started"].fillna(tasks["dispatched"])).dropna()
    assert sum(whole["compute_us"]) == spent.sum()
    moved = pd.concat(transfer_batches(run)).sort_values(["direction", "begin", "end"])
    del run.__dict__["events"], run.__dict__["tasks"]
    for rows in (1, 17):
        monkeypatch.setattr(run_events, "BATCH", rows)
        assert described(run) == whole
        assert measurements(run) == pytest.approx(measured)
        again = pd.concat(transfer_batches(run)).sort_values(["direction", "begin", "end"])
        assert again.reset_index(drop=True).equals(moved.reset_index(drop=True))


def rounded(value):
    """A value in the middle of those that have its first twelve binary digits."""
    shift = max(value.bit_length() - distribution.BITS, 0)
    return (value >> shift << shift) + (1 << shift >> 1)


@pytest.mark.parametrize("largest", [3, 5000, 1 << 20, 1 << 45])
@pytest.mark.parametrize("most", [10, 1 << 18])
def test_values_are_counted_as_they_are_or_rounded(largest, most):
    values = np.random.default_rng(3).integers(0, largest, 3000)
    few = len(set(values.tolist())) <= most
    expected = Counter(values.tolist() if few else map(rounded, values.tolist()))
    found = Distribution(most)
    for part in np.array_split(values, 7):
        found.add(part)
    assert found.rounded != few
    assert list(zip(*(part.tolist() for part in found.counted()), strict=True)) == sorted(
        expected.items()
    )
    assert (found.total, found.largest) == (values.sum(), values.max())


def test_quantiles_of_few_values_are_numpys_and_of_many_are_close():
    values = np.random.default_rng(1).lognormal(12, 2, 5000).astype(np.int64)
    shares = (0, 0.05, 0.5, 0.987, 1)
    exact, rough, at_once = Distribution(), Distribution(500), Distribution(500)
    at_once.add(values)
    for first in range(0, len(values), 700):
        exact.add(values[first : first + 700])
        rough.add(values[first : first + 700])
    assert exact.quantiles(shares) == np.quantile(values, shares).tolist()
    assert not exact.rounded
    assert rough.rounded
    assert rough.quantiles(shares) == pytest.approx(exact.quantiles(shares), rel=1.3e-4 * 2)
    assert [part.tolist() for part in rough.counted()] == [
        part.tolist() for part in at_once.counted()
    ]
    assert (len(rough), rough.mean, rough.largest) == (5000, values.mean(), values.max())
    both = pooled([exact, rough])
    assert (len(both), both.total, both.rounded) == (10_000, 2 * exact.total, True)
    assert len(exact.positive()) == (values > 0).sum()


def test_of_a_long_series_batches_are_larger_and_the_cut_is_about_the_same():
    draws = np.random.default_rng(2)
    values = np.concatenate([draws.poisson(2, 3000), draws.poisson(6, 17_000)]).astype(float)
    times = np.arange(len(values), dtype=float)
    few, many = BatchMeans(most=500), BatchMeans()
    for part in np.array_split(np.arange(len(values)), 37):
        few.add(values[part], times[part])
        many.add(values[part], times[part])
    assert many.batch == BATCH
    assert few.batch == 8 * BATCH
    cut = many.cut() * many.batch
    assert cut == pytest.approx(3000, abs=100)
    assert few.cut() * few.batch == pytest.approx(cut, abs=8 * BATCH)
    assert many.end_of(many.cut()) == cut - 1
    total, left = few.after(few.cut())
    assert left == len(values) - few.cut() * few.batch
    assert total == values[few.cut() * few.batch :].sum()


def long_rounds(tmp_path, count):
    """Rounds of two clients: one takes 1 s, the other 2 s, and every third time 4 s."""
    folder = RunFolder.create(tmp_path / "run", "name: run\nclients: {count: 3}\n", {})
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        now = 0
        for number in range(count):
            slow = 4 if number % 3 == 0 else 2
            for client in (0, 1):
                log.append(now, DISPATCHED, client, number, number, number)
            log.append(now + SECOND, ARRIVED, 0, number, number, number)
            now += slow * SECOND
            log.append(now, ARRIVED, 1, number, number, number)
            for client in (0, 1):
                log.append(now, AGGREGATED, client, number, number + 1, number, 0)
    return load_run(folder.path)


def test_very_many_rounds_become_means_of_several(tmp_path, monkeypatch):
    run = long_rounds(tmp_path, 600)
    exact = Tally(run).rounds
    monkeypatch.setattr(rounds, "MOST_VERSIONS", 100)
    monkeypatch.setattr(rounds, "CELLS", 64)
    monkeypatch.setattr(run_events, "BATCH", 101)
    found = Tally(run).rounds
    table = found.table()
    assert found.folded
    assert len(table) <= 64
    assert table["rounds"].sum() == len(exact.table()) == 600
    for name in ("version", "seconds", "waiting", "alone"):
        mean = np.average(table[name], weights=table["rounds"])
        assert mean == pytest.approx(exact.table()[name].mean())
    assert found.last().to_dict() == exact.last().to_dict() == {1: 600}


@pytest.mark.parametrize("least", [0, 1, 2])
def test_clipped_occupancy_is_the_same_if_moments_lie_in_a_file(least, monkeypatch):
    draws = np.random.default_rng(3)
    begin = draws.uniform(0, 90, 2000)
    end = begin + draws.exponential(0.1, 2000)
    edges = np.linspace(0, 100, 21)
    means = []
    for size in (1 << 24, 1000):
        monkeypatch.setattr("afl_sim.analysis.transfers._IN_MEMORY", size)
        with Occupancy(edges, clipped=True) as found:
            for part in np.array_split(np.arange(2000), 7):
                found.add(begin[part], end[part])
            means.append(found.mean(least=least, most=3))
    fine = np.linspace(0, 100, 200_001)[:-1]
    count = np.searchsorted(np.sort(begin), fine) - np.searchsorted(np.sort(end), fine)
    expected = np.clip(count - least, 0, 3).reshape(20, -1).mean(axis=1)
    assert means[0] == pytest.approx(expected, abs=0.02)
    assert means[1].tolist() == means[0].tolist()


def test_of_very_many_legs_each_moment_shows_what_was_done_most(tmp_path, monkeypatch):
    run = fake_run(tmp_path / "run", updates=200)
    (client,) = [run.tasks["client"].value_counts().index[0]]
    end = run.end_us / SECOND
    exact = Activity(run, [client], 0.0, end).spans(client)
    monkeypatch.setattr(activity, "MOST_SPANS", 5)
    found = Activity(run, [client], 0.0, end)
    assert found.condensed
    length = end / activity.CELLS
    for leg, spans in found.spans(client).items():
        assert sum(b - a for a, b in spans) == pytest.approx(
            sum(b - a for a, b in exact[leg]), abs=length * 2 * max(1, len(exact[leg]))
        )
    times, numbers = versions_within(run, 0.0, end, most=12, cells=10)
    assert len(times) <= 11
    assert (np.diff(numbers) > 0).all()
    sent = np.sort(run.tasks.loc[run.tasks["client"] == client, "dispatched"])
    assert nth_dispatch(run, [client], 2) == sent[2]
    assert nth_dispatch(run, [client], len(sent)) is None


def test_memory_does_not_grow_with_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run_events, "BATCH", 2048)
    monkeypatch.setattr(distribution, "MOST_VALUES", 1024)
    monkeypatch.setattr(distribution, "BITS", 5)
    monkeypatch.setattr(rounds, "MOST_VERSIONS", 256)
    monkeypatch.setattr(rounds, "CELLS", 64)
    monkeypatch.setattr(warm_up, "MOST_BATCHES", 256)
    runs = []
    for updates in (1500, 12_000):
        folder = RunFolder.create(tmp_path / str(updates), "name: a\nclients: {count: 40}\n", {})
        with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
            fake_log(log, updates=updates)
        runs.append(load_run(folder.path))

    def look(run):
        Tally(run)
        measurements(run)
        sum(len(table) for table in transfer_batches(run))
        Activity(run, [0, 1, 2], 0.0, 1.0)

    peaks = []
    for run in (runs[0], *runs):  # the first one imports
        tracemalloc.start()
        try:
            look(run)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    more = runs[1].event_count - runs[0].event_count
    assert more > 50_000
    assert peaks[2] - peaks[1] < 8 * more  # less than one number for each further event
