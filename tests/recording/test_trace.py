"""Task tables, Chrome traces, and where two runs part."""

import json
import tracemalloc
from collections import defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_runs import fake_log, fake_run

from afl_sim import load_scenario, simulate
from afl_sim.recording import (
    EventLog,
    first_divergence,
    format_divergence,
    task_table,
    write_trace,
)
from afl_sim.recording.columns import columns_of
from afl_sim.recording.event_table import COLUMNS
from afl_sim.world.event_kinds import (
    AGGREGATED,
    ARRIVED,
    CANCELLED,
    COMPUTED,
    DISCARDED,
    DISPATCHED,
    DOWNLOADED,
    EVALUATED,
    FAILED,
    UNAVAILABLE,
)


@pytest.fixture
def log():
    """Client 0 delivers and starts again; 1 is cancelled computing; 2 fails; 3 is discarded."""
    log = EventLog()
    for client in range(4):
        log.append(0, DISPATCHED, client, 0, 0, 0)
    log.append(10, DOWNLOADED, 0, 0, 0, 0, bytes=50)
    log.append(10, DOWNLOADED, 1, 0, 0, 0, bytes=50)
    log.append(15, UNAVAILABLE, 5, -1, 0)
    log.append(20, FAILED, 2, 0, 0, 0)
    log.append(30, COMPUTED, 0, 0, 0, 0, steps=3, samples=96)
    log.append(35, ARRIVED, 0, 0, 0, 0, bytes=60)
    log.append(35, AGGREGATED, 0, 0, 1, 0, 0, samples=96)
    log.append(35, DISPATCHED, 0, 1, 1, 1)
    log.append(40, CANCELLED, 1, 0, 1, 0)
    log.append(50, ARRIVED, 3, 0, 1, 0)
    log.append(50, DISCARDED, 3, 0, 1, 0)
    log.append(60, EVALUATED, -1, -1, 1)
    return log


def read_trace(tmp_path, events, **options):
    path = tmp_path / "trace.json"
    write_trace(events, path, **options)
    return json.loads(path.read_text())


def slices_by_track(trace):
    tracks = defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(event)
    return tracks


def assert_well_nested(trace):
    for slices in slices_by_track(trace).values():
        open_until = []
        for event in slices:
            begin, end = event["ts"], event["ts"] + event["dur"]
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def test_waiting_in_a_clients_queue_is_a_slice_of_its_task(tmp_path):
    settings = ["clients.queue=fifo", "strategy.concurrency=9", "recording.trace=false"]
    run = simulate(load_scenario("scenarios/smallest.yaml", settings), timing_only=True)
    trace = read_trace(tmp_path, run.events)
    assert_well_nested(trace)
    found = [event["dur"] for event in trace["traceEvents"] if event["name"] == "queueing"]
    waited = run.tasks["started"] - run.tasks["downloaded"]
    waited = waited[waited > 0].tolist()
    assert waited
    assert set(waited) <= set(found)


def test_an_aggregation_that_takes_time_is_a_slice_of_the_server(tmp_path):
    settings = ["server.aggregation_seconds=0.25", "recording.trace=false"]
    run = simulate(load_scenario("scenarios/smallest.yaml", settings), timing_only=True)
    trace = read_trace(tmp_path, run.events)
    assert_well_nested(trace)
    made = [event for event in trace["traceEvents"] if event.get("cat") == "aggregation"]
    ends = run.events[run.events["kind"] == "aggregated"].groupby("version")["time_us"].last()
    assert [(e["ph"], e["dur"]) for e in made] == [("X", 250_000)] * len(ends)
    assert sorted(e["ts"] + e["dur"] for e in made) == ends.tolist()


def test_aggregations_that_overlap_have_tracks_of_their_own(log, tmp_path):
    log.append(60, AGGREGATED, 1, 0, 2, 0, 1, context='{"began_us": 40}')
    log.append(70, AGGREGATED, 2, 0, 3, 0, 2, context='{"began_us": 50, "tier": 1}')
    trace = read_trace(tmp_path, log.frame())
    assert_well_nested(trace)
    made = [event for event in trace["traceEvents"] if event.get("cat") == "aggregation"]
    assert [(e["ph"], e["ts"], e.get("dur"), e["tid"]) for e in made] == [
        ("i", 35, None, 1),
        ("X", 40, 20, 1),
        ("X", 50, 20, 2),
    ]
    names = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"]
    assert names[:2] == ["aggregation", "aggregation (2)"]


def test_the_task_table_tells_each_task_and_its_fate(log):
    table = task_table(log.frame()).set_index(["client", "task"])
    assert table["fate"].astype(str).to_dict() == {
        (0, 0): "aggregated",
        (1, 0): "cancelled",
        (2, 0): "failed",
        (3, 0): "discarded",
        (0, 1): "in flight",
    }
    first = table.loc[(0, 0)]
    assert list(first[["dispatched", "downloaded", "computed", "arrived", "ended"]]) == [
        0,
        10,
        30,
        35,
        35,
    ]
    assert first["aggregated"] == 35
    assert first["version"] == 1
    assert first["bytes"] == 110
    assert first["samples"] == 96
    assert table["ended"].isna().to_dict()[0, 1]


def test_a_task_aggregated_twice_counts_at_its_first_use(log):
    log.append(70, AGGREGATED, 0, 0, 2, 0, 1)
    table = task_table(log.frame())
    assert len(table) == 5
    assert table["version"].iloc[0] == 1
    assert table["aggregated"].iloc[0] == 35


def test_the_trace_draws_each_fate_in_virtual_microseconds(log, tmp_path):
    trace = read_trace(tmp_path, log.frame())
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    spans = [(e["name"], e["ts"], e["dur"]) for e in slices if e["cat"] == "task"]
    assert sorted(spans) == [
        ("task 0", 0, 35),
        ("task 0 (cancelled)", 0, 40),
        ("task 0 (discarded)", 0, 50),
        ("task 0 (failed)", 0, 20),
        ("task 1 (in flight)", 35, 25),
    ]
    whole = next(e for e in slices if e["name"] == "task 0")
    legs = [
        (e["name"], e["ts"], e["dur"])
        for e in slices
        if e["tid"] == whole["tid"] and e["cat"] == "leg" and e["ts"] < 35
    ]
    assert legs == [("download", 0, 10), ("compute", 10, 20), ("upload", 30, 5)]
    assert whole["args"]["outcome"] == "aggregated"
    assert whole["args"]["samples"] == 96
    assert_well_nested(trace)


def test_the_trace_counts_tasks_in_flight_and_marks_versions(log, tmp_path):
    trace = read_trace(tmp_path, log.frame())
    counts = [
        (e["ts"], e["args"]["tasks"])
        for e in trace["traceEvents"]
        if e["ph"] == "C" and e["name"] == "in flight"
    ]
    assert counts == [(0, 4), (20, 3), (40, 2), (50, 1)]
    versions = [(e["ts"], e["name"]) for e in trace["traceEvents"] if e["ph"] == "i"]
    assert versions == [(35, "version 1")]


@pytest.mark.parametrize("strategy", ["fedavg", "fedbuff"])
def test_a_whole_run_is_ordered_well_nested_and_named(tmp_path, strategy):
    run = fake_run(tmp_path / "run", strategy=strategy, updates=120)
    trace = read_trace(tmp_path, run.events, metrics=run.metrics, name=run.name)
    assert_well_nested(trace)
    times = [event["ts"] for event in trace["traceEvents"] if event["ph"] != "M"]
    assert times == sorted(times)
    assert all(isinstance(time, int) for time in times)
    names = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    clients = {f"client {client}" for client in run.tasks["client"].unique()}
    assert names == clients | {"aggregation"}
    assert any(event["name"] == "accuracy" for event in trace["traceEvents"])
    tasks = [e for e in trace["traceEvents"] if e["ph"] == "X" and e["cat"] == "task"]
    assert len(tasks) == run.summary["updates"]["dispatched"]


def assert_complete(trace):
    """Every event has the fields of its phase, and every track and process a name."""
    named = {
        (e["name"], e["pid"], e["tid"] if e["name"] == "thread_name" else 0)
        for e in trace["traceEvents"]
        if e["ph"] == "M" and e["args"].get("name")
    }
    for event in trace["traceEvents"]:
        assert event["name"]
        assert event["ph"] in "XiCM"
        assert ("process_name", event["pid"], 0) in named
        if event["ph"] == "X":
            assert event["dur"] >= 0
        if event["ph"] in "Xi":
            assert ("thread_name", event["pid"], event["tid"]) in named
        if event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())


def counter(trace, name):
    return [e for e in trace["traceEvents"] if e["ph"] == "C" and e["name"] == name]


@pytest.mark.parametrize(
    "strategy",
    [
        "{kind: fedavg, clients_per_round: 4, over_selection: 0.5}",
        "{kind: fedasync, concurrency: all}",
        "{kind: fedat, tiers: 2, clients_per_round: 2}",
        "{kind: quafl, clients_per_round: 3}",
        "{kind: ringmaster, delay_threshold: 2}",
    ],
)
def test_the_trace_of_every_kind_of_schedule_is_whole(tmp_path, strategy):
    overrides = ["stop.updates=30", "clients.network.upload.latency=0.5", "strategy=" + strategy]
    run = simulate(load_scenario("scenarios/smallest.yaml", overrides), timing_only=True)
    trace = json.loads((run.path / "trace.json").read_text())
    assert_well_nested(trace)
    assert_complete(trace)
    times = [event["ts"] for event in trace["traceEvents"] if event["ph"] != "M"]
    assert times == sorted(times)
    tasks = [e for e in trace["traceEvents"] if e["ph"] == "X" and e["cat"] == "task"]
    assert len(tasks) == run.summary["updates"]["dispatched"]
    versions = [e["name"] for e in trace["traceEvents"] if e["ph"] == "i"]
    assert versions == [f"version {n + 1}" for n in range(run.summary["versions"])]
    aggregated = run.events[(run.events["kind"] == "aggregated").to_numpy()]
    means = aggregated.groupby("version")["staleness"].mean()
    found = [event["args"]["mean"] for event in counter(trace, "staleness")]
    assert found == pytest.approx(means.tolist(), abs=1e-6)
    in_flight = counter(trace, "in flight")[-1]["args"]["tasks"]
    assert in_flight == run.summary["updates"]["in_flight"]


def test_the_trace_counts_accuracy_as_it_was_evaluated(tmp_path):
    run = fake_run(tmp_path / "run", updates=60)
    trace = read_trace(tmp_path, run.events, metrics=run.metrics)
    assert_complete(trace)
    found = [(e["ts"], e["args"]["accuracy"]) for e in counter(trace, "accuracy")]
    assert found == list(zip(run.metrics["time_us"], run.metrics["accuracy"], strict=True))


def test_tasks_of_one_client_that_overlap_get_a_track_each(tmp_path):
    log = EventLog()
    log.append(0, DISPATCHED, 7, 0, 0, 0)
    log.append(10, DISPATCHED, 7, 1, 0, 0)
    log.append(20, ARRIVED, 7, 0, 0, 0)
    log.append(20, DISPATCHED, 7, 2, 0, 0)
    log.append(30, ARRIVED, 7, 1, 0, 0)
    log.append(40, ARRIVED, 7, 2, 0, 0)
    trace = read_trace(tmp_path, log.frame())
    assert_well_nested(trace)
    names = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"]
    assert names == ["aggregation", "client 7", "client 7 (2)"]
    assert len(slices_by_track(trace)) == 2


def test_a_limit_draws_the_first_events_and_says_so(tmp_path):
    log = EventLog()
    fake_log(log, updates=100)
    trace = read_trace(tmp_path, log.table(), limit=150)
    assert trace["otherData"]["events_drawn"] == 150
    assert trace["otherData"]["events"] == len(log)
    assert_well_nested(trace)
    end = log.frame()["time_us"].iloc[149]
    for event in trace["traceEvents"]:
        assert event["ts"] + event.get("dur", 0) <= end


def test_a_trace_takes_little_more_memory_than_the_events_it_draws(tmp_path):
    log = EventLog()
    fake_log(log, updates=2000)
    events = log.table()
    write_trace(events, tmp_path / "trace.json")  # imports
    tracemalloc.start()
    try:
        write_trace(events, tmp_path / "trace.json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * len(events)  # bytes; a list of its events took 630 for each


def test_a_table_and_its_frame_are_the_same_integers_and_the_same_trace(log, tmp_path):
    fake_log(again := EventLog(), updates=50)
    for events in (log, again):
        table, frame = columns_of(events.table()), columns_of(events.frame())
        assert {name: table[name].tolist() for name in COLUMNS} == {
            name: frame[name].tolist() for name in COLUMNS
        }
        assert read_trace(tmp_path, events.table()) == read_trace(tmp_path, events.frame())


def test_an_empty_log_makes_a_valid_trace(tmp_path):
    trace = read_trace(tmp_path, EventLog().frame())
    assert {event["ph"] for event in trace["traceEvents"]} == {"M"}


def test_a_run_does_not_differ_from_its_repetition(tmp_path):
    a, b = (fake_run(tmp_path / name, updates=40) for name in "ab")
    assert first_divergence(a, b) is None
    assert "No difference" in format_divergence(None)
    assert first_divergence(a.path, str(b.path)) is None


def test_the_first_differing_event_is_found_with_its_neighbours(tmp_path):
    a = fake_run(tmp_path / "a", updates=40, buffer=5)
    b = fake_run(tmp_path / "b", updates=40, buffer=6)
    found = first_divergence(a, b)
    rows_a = a.events[a.events["kind"] != "evaluated"]
    rows_b = b.events[b.events["kind"] != "evaluated"]
    # The fifth arrival is aggregated in one and not in the other.
    fifth = rows_a.index[rows_a["kind"] == "arrived"][4]
    assert found.index == fifth + 1
    assert found.row_a["kind"] == "aggregated"
    assert found.row_b["kind"] == rows_b["kind"].iloc[found.index] == "dispatched"
    assert "kind" in found.columns
    assert "time_us" not in found.columns
    assert [row["seq"] for row in found.before] == [fifth - 2, fifth - 1, fifth]
    text = format_divergence(found, "left", "right")
    assert f"differ from event {found.index} on" in text
    assert "left" in text
    assert "right" in text
    assert "kind*" in text
    assert sum(line.startswith(">") for line in text.splitlines()) == 2


def test_kinds_of_events_that_are_not_known_here_are_told_apart(tmp_path):
    runs = {}
    for name, kind in (("a", "floated"), ("b", "floated"), ("c", "dived")):
        path = fake_run(tmp_path / name, updates=40).path / "events.parquet"
        table = pq.read_table(path)
        kinds = table.column("kind").cast("string").to_pylist()
        kinds = [kind if known == "downloaded" else known for known in kinds]
        column = pa.array(kinds).dictionary_encode()
        pq.write_table(table.set_column(table.column_names.index("kind"), "kind", column), path)
        runs[name] = path.parent
    assert first_divergence(runs["a"], runs["b"]) is None
    found = first_divergence(runs["a"], runs["c"])
    assert found.columns == ("kind",)
    assert (found.row_a["kind"], found.row_b["kind"]) == ("floated", "dived")


def test_a_run_that_stops_earlier_differs_where_it_ends(tmp_path):
    a, b = (fake_run(tmp_path / f"{n}", updates=n) for n in (40, 45))
    found = first_divergence(a, b)
    assert found.row_a is None
    assert found.index == found.events_a < found.events_b
    assert "(no more events)" in format_divergence(found)


def test_evaluations_do_not_count_as_schedule(tmp_path):
    a = fake_run(tmp_path / "a", updates=40, evaluations=4)
    b = fake_run(tmp_path / "b", updates=40, evaluations=8)
    assert first_divergence(a, b) is None


def test_equal_schedules_with_other_weights_differ_in_the_model(tmp_path):
    a = fake_run(tmp_path / "a", updates=40, tau=40.0)
    b = fake_run(tmp_path / "b", updates=40, tau=50.0, weight=1.0)
    found = first_divergence(a, b)
    assert found.index is None
    assert found.model_digest_a != found.model_digest_b
    assert found.evaluation[0]["version"] == found.evaluation[1]["version"]
    text = format_divergence(found)
    assert "the models differ" in text
    assert found.model_digest_a in text
    assert "First evaluation that differs" in text


def test_a_run_without_training_has_the_schedule_of_the_trained_one(tmp_path):
    a = fake_run(tmp_path / "a", updates=40)
    b = fake_run(tmp_path / "b", updates=40, training=False)
    assert a.summary["schedule_digest"] == b.summary["schedule_digest"]
    assert first_divergence(a, b) is None
