"""What figures draw, against cases by hand: legs, rounds, transfers, theory, swept settings."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from afl_sim import load_scenario, simulate
from afl_sim.analysis.curves import Curve, held, mean_of, median_curve, split_at
from afl_sim.analysis.replications import Group
from afl_sim.analysis.series import (
    bytes_until,
    has_queues,
    idle_share,
    mean_in_bins,
    rounds,
    staleness_rows,
)
from afl_sim.analysis.settings import flattened, series, swept
from afl_sim.analysis.tally import compute_us, legs_us
from afl_sim.analysis.theory import mean_staleness
from afl_sim.analysis.transfers import Occupancy, transfer_batches
from afl_sim.recording import EventLog, MetricsLog, RunFolder, load_run
from afl_sim.recording.columns import columns_of
from afl_sim.recording.tasks import task_columns
from afl_sim.world.event_kinds import (
    AGGREGATED,
    ARRIVED,
    CANCELLED,
    COMPUTED,
    DISPATCHED,
    DOWNLOADED,
    QUEUED,
    STARTED,
)

SECOND = 1_000_000


@pytest.fixture
def two_rounds(tmp_path):
    """Three clients, two rounds of 10 s and 8 s; client 2 is last in both, 1 is cut off once."""
    folder = RunFolder.create(
        tmp_path / "hand", "name: hand\nclients: {count: 4}\nstrategy: {kind: fedavg}\n", {}
    )
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        for client in range(3):
            log.append(0, DISPATCHED, client, 0, 0, 0)
        log.append(SECOND, DOWNLOADED, 0, 0, 0, 0, bytes=100)
        for client, arrived in enumerate([4, 7, 10]):
            log.append(arrived * SECOND, COMPUTED, client, 0, 0, 0)
            log.append(arrived * SECOND, ARRIVED, client, 0, 0, 0, bytes=50)
        for client in range(3):
            log.append(10 * SECOND, AGGREGATED, client, 0, 1, 0, 0)
        for client in range(3):
            log.append(10 * SECOND, DISPATCHED, client, 1, 1, 1)
        log.append(12 * SECOND, COMPUTED, 0, 1, 1, 1)
        log.append(14 * SECOND, ARRIVED, 0, 1, 1, 1, bytes=50)
        log.append(18 * SECOND, COMPUTED, 2, 1, 1, 1)
        log.append(18 * SECOND, ARRIVED, 2, 1, 1, 1, bytes=50)
        log.append(18 * SECOND, CANCELLED, 1, 1, 1, 1)
        for client in (0, 2):
            log.append(18 * SECOND, AGGREGATED, client, 1, 2, 1, 0)
    return load_run(folder.path)


def test_rounds_by_hand(two_rounds):
    table = rounds(two_rounds)
    assert table["version"].tolist() == [1, 2]
    assert table["seconds"].tolist() == [10.0, 8.0]
    assert table["last"].tolist() == [2, 2]
    assert table["waiting"].tolist() == pytest.approx([1 - 7 / 10, 1 - 6 / 8])
    assert table["alone"].tolist() == pytest.approx([0.3, 0.5])


def tasks_of(run):
    return task_columns(columns_of(run.events))


def leg_seconds(run):
    """The legs of the arrived tasks in the order of their dispatch."""
    return pd.DataFrame(legs_us(tasks_of(run))) / SECOND


def test_legs_by_hand_and_absent_legs_take_no_time(two_rounds):
    table = leg_seconds(two_rounds)
    first = table.iloc[0]
    assert first[["download", "compute", "upload", "buffer"]].tolist() == [1.0, 3.0, 0.0, 6.0]
    again = table.iloc[3]
    assert again[["download", "compute", "upload", "buffer"]].tolist() == [0.0, 2.0, 2.0, 4.0]
    assert len(table) == 5  # the cancelled task has no legs to speak of


def test_idle_time_by_hand(two_rounds):
    busy = {0: 4 + 4, 1: 7 + 8, 2: 10 + 8, 3: 0}
    found = idle_share(two_rounds)
    assert found.to_dict() == pytest.approx({c: 1 - spent / 18 for c, spent in busy.items()})


@pytest.fixture
def queues(tmp_path):
    """Client 0: a task, one that waits behind it, one recalled from the queue, one still there."""
    folder = RunFolder.create(tmp_path / "queues", "name: queues\nclients: {count: 2}\n", {})
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        for task in range(4):
            log.append(task * SECOND, DISPATCHED, 0, task, 0, 0)
            log.append(task * SECOND, DOWNLOADED, 0, task, 0, 0)
            if task:
                log.append(task * SECOND, QUEUED, 0, task, 0, 0)
        log.append(5 * SECOND, COMPUTED, 0, 0, 0, 0)
        log.append(5 * SECOND, STARTED, 0, 1, 0, 0)
        log.append(6 * SECOND, COMPUTED, 0, 2, 0, 0)
        log.append(6 * SECOND, ARRIVED, 0, 0, 0, 0)
        log.append(7 * SECOND, ARRIVED, 0, 2, 0, 0)
        log.append(8 * SECOND, COMPUTED, 0, 1, 0, 0)
        log.append(9 * SECOND, ARRIVED, 0, 1, 0, 0)
        log.append(10 * SECOND, DISPATCHED, 1, 0, 0, 0)
    return load_run(folder.path)


def test_waiting_in_a_queue_is_a_leg_of_its_own(queues, two_rounds):
    table = leg_seconds(queues)
    assert table["queueing"].tolist() == [0.0, 4.0, 4.0]
    assert table["compute"].tolist() == [5.0, 3.0, 0.0]
    assert table["upload"].tolist() == [1.0, 1.0, 1.0]
    assert (compute_us(tasks_of(queues))[1] / SECOND).tolist() == [5.0, 3.0, 0.0]
    assert queues.tasks["started"].isna().tolist() == [False, False, False, True, True]
    assert leg_seconds(two_rounds)["queueing"].eq(0).all()
    assert has_queues(queues)
    assert not has_queues(two_rounds)


def test_tasks_of_one_client_that_overlap_count_once(queues):
    assert idle_share(queues).to_dict() == pytest.approx({0: 0.0, 1: 1.0})


def test_transfers_that_take_time_by_hand(two_rounds):
    table = pd.concat(transfer_batches(two_rounds))
    rows = table[["direction", "begin", "end", "bytes"]].to_numpy().tolist()
    assert rows == [["download", 0.0, 1.0, 100.0], ["upload", 12.0, 14.0, 50.0]]
    assert bytes_until(two_rounds, np.array([0.5, 1.0, 7.0, 20.0])).tolist() == [0, 100, 200, 350]


def test_buffered_versions_are_no_rounds(tmp_path):
    folder = RunFolder.create(tmp_path / "a", "name: a\nstrategy: {kind: fedbuff}\n", {})
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        for client in range(4):
            log.append(client, DISPATCHED, client, 0, 0, 0)
        for client in range(4):
            log.append(10 + client, ARRIVED, client, 0, 0, 0)
            log.append(10 + client, AGGREGATED, client, 0, 1 + client // 2, 0, client // 2)
    assert rounds(load_run(folder.path)).empty


def occupancy(begin, end, edges, **clip):
    """The mean of spans that are added one by one."""
    with Occupancy(edges, clipped=bool(clip)) as found:
        for one in range(len(begin)):
            found.add(begin[one : one + 1], end[one : one + 1])
        return found.mean(**clip)


def test_occupancy_is_an_average_over_time():
    begin, end = np.array([0.0, 1.0, 1.0]), np.array([4.0, 3.0, 2.0])
    edges = np.array([0.0, 2.0, 4.0])
    assert occupancy(begin, end, edges) == pytest.approx([(1 + 3) / 2, (2 + 1) / 2])
    assert occupancy(begin, end, edges, least=1) == pytest.approx([2 / 2, 1 / 2])
    assert occupancy(begin, end, edges, most=1) == pytest.approx([1.0, 1.0])
    assert occupancy(begin[:1], end[:1], np.array([4.0, 8.0])) == pytest.approx([0.0])


def test_bins_have_their_means_and_empty_ones_none():
    found = mean_in_bins(np.array([0.1, 0.2, 2.5]), np.array([1.0, 3.0, 7.0]), np.arange(4.0))
    assert found[[0, 2]].tolist() == [2.0, 7.0]
    assert np.isnan(found[1])


def test_between_evaluations_a_run_keeps_its_last_value():
    x, y = np.array([0.0, 10.0, 20.0]), np.array([1.0, 5.0, 6.0])
    assert held(x, y, np.array([0.0, 9.9, 10.0, 30.0])).tolist() == [1.0, 1.0, 5.0, 6.0]


def a_curve(x, y):
    return Curve(np.array(x, dtype=float), np.array(y, dtype=float))


def stretches(curve):
    return [(part.runs, part.x.tolist(), part.y.tolist()) for part in curve.fewer]


def test_a_mean_curve_goes_on_with_those_that_do_and_counts_them():
    curves = [
        a_curve([0, 10, 20, 30], [0, 10, 20, 30]),
        a_curve([0, 5], [2, 4]),
        a_curve([0, 10, 20], [1, 7, 9]),
    ]
    mean = mean_of(curves)
    assert mean.runs == 3
    assert mean.x.tolist() == [0, 5]
    assert mean.y.tolist() == pytest.approx([1, 5 / 3])
    assert (mean.low <= mean.y).all()
    # Each stretch begins where a run ends, with the others' mean there: no line leads from one
    # to the other, as if something had been learnt or lost.
    assert stretches(mean) == [
        (2, [5, 10, 20], [0.5, 8.5, 14.5]),
        (1, [20, 30], [20, 30]),
    ]
    assert mean.lowest == 0.5
    assert mean_of(curves[:1]) is curves[0]


def test_curves_that_end_together_have_no_lighter_part():
    mean = mean_of([a_curve([0, 10], [0, 10]), a_curve([0, 4, 10], [2, 4, 6])])
    assert mean.x.tolist() == [0, 4, 10]
    assert mean.y.tolist() == [1, 2, 8]
    assert mean.fewer == ()


def test_a_mean_curve_leaves_out_who_has_no_number_and_who_has_not_begun():
    nan = np.nan
    late = mean_of([a_curve([0, 10, 20], [0, 10, 20]), a_curve([10, 20], [20, 30])])
    assert late.x.tolist() == [10, 20]
    assert stretches(late) == [(1, [0, 10], [0, 10])]
    gap = mean_of([a_curve([0, 10, 20, 30], [0, 10, 20, 30]), a_curve([0, 10, 20], [2, nan, 8])])
    assert stretches(gap) == [(1, [0, 10, 20], [0, 10, 20]), (1, [20, 30], [20, 30])]
    np.testing.assert_array_equal(gap.x, [0, nan, 20])
    np.testing.assert_array_equal(gap.y, [1, nan, 14])
    nobody = mean_of([a_curve([0, 10], [nan, nan]), a_curve([0, 10], [nan, nan])])
    assert len(nobody.x) == 0
    assert nobody.fewer == ()
    assert np.isnan(nobody.lowest)


def test_a_mean_of_very_many_evaluations_ends_where_its_runs_end():
    long, short = np.linspace(0, 100, 2001), np.linspace(0, 33.33, 1001)
    mean = mean_of([a_curve(long, long), a_curve(short, short)])
    assert len(mean.x) < 220
    assert mean.x[-1] == 33.33
    (rest,) = mean.fewer
    assert (rest.x[0], rest.x[-1], rest.y[-1]) == (33.33, 100, 100)


def test_a_pooled_line_is_split_where_runs_end():
    x = np.arange(6.0)
    curve = split_at(x, 10 * x, [2.0, 4.0, 5.0])
    assert curve.x.tolist() == [0, 1, 2]
    assert stretches(curve) == [(2, [2, 3, 4], [20, 30, 40]), (1, [4, 5], [40, 50])]
    assert split_at(x, x, [5.0, 5.0]).fewer == ()


def run_with(strategy, clients=10, updates=None):
    scenario = {"strategy": strategy, "clients": {"count": clients}}
    return SimpleNamespace(scenario=scenario, summary={"updates": updates or {}})


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"kind": "fedasync", "concurrency": 8}, 7.0),
        ({"kind": "fedasync", "concurrency": "all"}, 9.0),
        ({"kind": "fedasync", "concurrency": 8, "max_staleness": 3}, None),
        ({"kind": "fedasync", "concurrency": 11}, None),  # more than there are clients
        ({"kind": "asyncsgd", "concurrency": 8}, 7.0),
        ({"kind": "asofed"}, 9.0),  # all clients
        ({"kind": "fedbuff", "concurrency": 9, "buffer_size": 5}, 8 / 5),
        (
            {
                "kind": "fedbuff",
                "concurrency": 9,
                "buffer_size": 5,
                "replacement": "before_step",
            },
            9 / 5,
        ),
        ({"kind": "fadas", "concurrency": 9, "buffer_size": 4}, 2.0),
        ({"kind": "fedavg", "clients_per_round": 4}, 0.0),
        ({"kind": "quafl"}, None),
    ],
)
def test_theory_speaks_where_an_oracle_does(strategy, expected):
    oracle = mean_staleness(run_with(strategy))
    assert (None if oracle is None else oracle.value) == expected


@pytest.mark.parametrize(
    "strategy",
    [
        "{kind: asyncsgd, concurrency: 5}",
        "{kind: delay_adaptive, concurrency: 5}",
        "{kind: ia2sgd}",
        "{kind: asofed}",
        "{kind: fedbuff, concurrency: 7, buffer_size: 3, replacement: before_step}",
        "{kind: fadas, concurrency: 7, buffer_size: 3}",
        "{kind: ca2fl, concurrency: 7, buffer_size: 3}",
    ],
)
def test_theory_is_what_a_long_run_comes_to(strategy):
    overrides = ["stop.updates=3000", "recording.trace=false", f"strategy={strategy}"]
    run = simulate(load_scenario("scenarios/smallest.yaml", overrides), timing_only=True)
    oracle = mean_staleness(run)
    measured = staleness_rows(run)["staleness"].mean()
    # Updates still in flight are left out: m - 1 of them, of 3000, none older than some hundreds.
    assert measured == pytest.approx(oracle.value, rel=0.02)


def test_theory_knows_that_queues_hold_more_tasks_than_there_are_clients():
    drawn = {"kind": "generalized_asyncsgd", "concurrency": 1000}
    assert mean_staleness(run_with(drawn)).value == 999
    assert mean_staleness(run_with({**drawn, "kind": "fedasync"})) is None


def test_theory_is_silent_where_tasks_are_lost():
    run = run_with({"kind": "fedasync", "concurrency": 8}, updates={"failed": 1})
    assert mean_staleness(run) is None


def test_theory_is_silent_where_clients_come_and_go():
    on_off = "{kind: on_off, on: 5, off: {dist: expon, scale: 5}, on_leave: finish}"
    overrides = ["stop.updates=300", "recording.trace=false", f"clients.availability={on_off}"]
    overrides.append("strategy={kind: fedasync, concurrency: all}")
    run = simulate(load_scenario("scenarios/smallest.yaml", overrides), timing_only=True)
    assert staleness_rows(run)["staleness"].mean() < 8  # of ten clients, not all are there
    assert mean_staleness(run) is None
    steady = run_with({"kind": "fedasync", "concurrency": 8})
    steady.scenario["clients"]["availability"] = {"kind": "always", "leaves": None}
    assert mean_staleness(steady).value == 7
    steady.scenario["clients"]["availability"] = {"kind": "always", "leaves": 5.0}
    assert mean_staleness(steady) is None


def groups_of(*blocks):
    return [
        Group(str(index), (SimpleNamespace(scenario=block),), index)
        for index, block in enumerate(blocks)
    ]


def test_a_setting_that_comes_with_its_strategy_is_not_swept():
    members = groups_of(
        {"strategy": {"kind": "fedavg", "clients_per_round": 5}},
        {"strategy": {"kind": "fedbuff", "buffer_size": 5}},
    )
    assert swept(members) == []
    assert list(series(members, [])) == ["fedavg", "fedbuff"]


def test_the_setting_with_the_most_values_comes_first():
    members = groups_of(
        *(
            {"clients": {"count": count}, "training": {"batch_size": batch}}
            for count in (10, 20, 40)
            for batch in (8, 16)
        )
    )
    found = swept(members)
    assert [one.key for one in found] == ["clients.count", "training.batch_size"]
    assert found[0].name == "count"
    lines = series(members, found[:1])
    assert lines == {"batch size 8": [0, 2, 4], "batch size 16": [1, 3, 5]}
    assert list(series(members, found)) == [""]


def test_a_setting_that_only_moves_with_others_is_not_swept():
    members = groups_of(
        {"strategy": {"kind": "fedasync", "concurrency": 4}, "training": {"lr": 0.1}},
        {"strategy": {"kind": "fedasync", "concurrency": 5}, "training": {"lr": 0.2}},
        {"strategy": {"kind": "fedbuff", "concurrency": 5}, "training": {"lr": 0.2}},
    )
    assert swept(members) == []


def test_nested_settings_are_flattened_by_dotted_keys():
    block = {"a": {"b": 1, "c": {"d": [2, 3]}}, "e": None}
    assert flattened(block) == {"a.b": 1, "a.c.d": [2, 3], "e": None}


def test_a_median_curve_holds_values_and_has_its_quartiles_about_it():
    def evaluated(*points):
        frame = pd.DataFrame(points, columns=["time_us", "squared_gradient_norm"])
        return SimpleNamespace(metrics=frame)

    runs = [evaluated((0, 8.0), (4 * SECOND, last)) for last in (1.0, 2.0, 3.0, 4.0)]
    late = evaluated((0, 8.0), (2 * SECOND, 100.0), (9 * SECOND, 0.5))
    curve = median_curve([*runs, late], "time", "squared_gradient_norm")
    assert curve.x.tolist() == [0, 2, 4]
    assert curve.y.tolist() == [8, 8, 3]
    assert curve.low.tolist() == [8, 8, 2]
    assert curve.high.tolist() == [8, 8, 4]
    assert stretches(curve) == [(1, [4, 9], [100, 0.5])]
    assert median_curve([late], "time", "squared_gradient_norm").low is None
