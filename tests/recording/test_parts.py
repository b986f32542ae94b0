"""Events that are read part by part: the same tasks, traces and differences, in little memory."""

import json
import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from fake_runs import fake_log, fake_run

from afl_sim import load_scenario, simulate
from afl_sim.recording import EventLog, first_divergence, run_events, write_trace
from afl_sim.recording.tasks import task_batches, task_columns
from afl_sim.recording.trace import trace_is_closed

SMALL = ["stop.updates=60", "recording.trace=false", "clients.network.upload.latency=0.5"]
SCHEDULES = [
    "strategy={kind: fedavg, clients_per_round: 4, over_selection: 0.5}",
    "strategy={kind: fedasync, concurrency: all}",
    "strategy={kind: fedat, tiers: 2, clients_per_round: 2}",
    "strategy={kind: quafl, clients_per_round: 3}",
    "strategy={kind: safa, clients_per_round: 3}",
    "clients.queue=fifo",
    "clients.availability={kind: on_off, on: 20.0, off: 5.0}",
]


def scheduled(tmp_path, setting):
    queue = ["strategy.concurrency=9"] if "queue" in setting else []
    scenario = load_scenario("scenarios/smallest.yaml", [*SMALL, setting, *queue])
    return simulate(scenario, tmp_path / "run", timing_only=True)


def parts_of(table, rows):
    return [table.slice(first, rows) for first in range(0, len(table), rows)]


def slices(trace):
    """What is drawn on which named track, without its order in the file."""
    names = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in trace["traceEvents"]
        if e["name"] == "thread_name"
    }
    return sorted(
        json.dumps({**event, "tid": names.get((event["pid"], event["tid"]))})
        for event in trace["traceEvents"]
        if event["ph"] in "Xi"
    )


def traced(path, events, **options):
    write_trace(events, path, **options)
    assert trace_is_closed(path)
    return json.loads(path.read_text())


@pytest.mark.parametrize("setting", SCHEDULES)
def test_tasks_in_parts_are_those_of_the_whole_log(setting, tmp_path):
    run = scheduled(tmp_path, setting)
    (whole,) = run.event_batches()
    expected = task_columns(whole)
    order = np.lexsort((expected["task"], expected["client"]))
    for rows in (1, 13, 100):
        parts = list(task_batches(run.event_batches(rows=rows)))
        found = {name: np.concatenate([part[name] for part in parts]) for name in expected}
        assert len(parts) > run.event_count // rows
        for client in np.unique(found["client"]):
            mine = found["task"][found["client"] == client]
            assert mine.tolist() == sorted(mine)
        again = np.lexsort((found["task"], found["client"]))
        for name, column in expected.items():
            assert found[name][again].tolist() == column[order].tolist(), name


def test_batches_hold_no_more_rows_than_asked_for_and_all_together(tmp_path):
    run = fake_run(tmp_path / "run", updates=60)
    for rows in (1, 64, 10_000):
        batches = list(run.event_batches("time_us", "kind", rows=rows))
        assert max(len(batch["kind"]) for batch in batches) == min(rows, run.event_count)
        times = np.concatenate([batch["time_us"] for batch in batches])
        assert times.tolist() == run.event_columns("time_us")["time_us"].tolist()
    assert run.end_us == times[-1]


@pytest.mark.parametrize("setting", SCHEDULES)
def test_a_trace_in_parts_shows_the_same(setting, tmp_path):
    table = scheduled(tmp_path, setting).event_tables(*_columns(), rows=10_000)
    (whole,) = table
    expected = traced(tmp_path / "whole.json", whole)
    for rows in (1, 29):
        parts = parts_of(whole, rows)
        found = traced(tmp_path / "parts.json", parts, total=len(whole), drawn=len(whole))
        assert found["otherData"] == expected["otherData"]
        assert slices(found) == slices(expected)
        counters = [e for e in found["traceEvents"] if e["name"] == "in flight"]
        last = [e for e in expected["traceEvents"] if e["name"] == "in flight"][-1]
        assert counters[-1]["args"] == last["args"]


def test_a_trace_of_a_window_has_what_is_under_way_in_it(tmp_path):
    settings = ["stop.updates=60", "recording.trace_window=[3, 6]"]
    scenario = load_scenario("scenarios/smallest.yaml", settings)
    run = simulate(scenario, tmp_path / "run", timing_only=True)
    trace = json.loads((run.path / "trace.json").read_text())
    times = run.events["time_us"]
    assert trace["otherData"]["events"] == len(times)
    inside = int(((times >= 3_000_000) & (times <= 6_000_000)).sum())
    assert trace["otherData"]["events_drawn"] == inside > 0
    drawn = [e for e in trace["traceEvents"] if e.get("cat") == "task"]
    tasks = run.tasks
    ended = tasks["ended"].fillna(times.iloc[-1])
    expected = tasks[(tasks["dispatched"] <= 6_000_000) & (ended >= 3_000_000)]
    assert len(drawn) == len(expected) > 0
    for event in trace["traceEvents"]:
        if event["ph"] in "Ci":
            assert 3_000_000 <= event["ts"] <= 6_000_000
        elif event["ph"] == "X":
            assert event["ts"] + event["dur"] <= 6_000_000


@pytest.mark.parametrize("rows", [1, 7, 10_000])
def test_where_two_runs_part_does_not_depend_on_the_parts(rows, tmp_path, monkeypatch):
    a = fake_run(tmp_path / "a", updates=40, buffer=5)
    b = fake_run(tmp_path / "b", updates=40, buffer=6)
    expected = first_divergence(a, b)
    monkeypatch.setattr(run_events, "BATCH", rows)
    assert first_divergence(a, b) == expected
    assert len(expected.before) == len(expected.after_a) == len(expected.after_b) == 3
    assert first_divergence(a, a) is None


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_trace_of_a_longer_run_takes_no_more_memory(tmp_path):
    tables = []
    for updates in (500, 4000):
        log = EventLog()
        fake_log(log, updates=updates)
        tables.append(log.table())

    def write(table):
        parts = (table.slice(first, 1000) for first in range(0, len(table), 1000))
        write_trace(parts, tmp_path / "trace.json", total=len(table), drawn=len(table))

    write(tables[0])  # imports
    short, long = (peak_of(lambda table=table: write(table)) for table in tables)
    assert len(tables[1]) > 6 * len(tables[0])
    assert long < 1.3 * short


STUCK = """
import sys
from pathlib import Path
from time import sleep
sys.path.insert(0, {support!r})
from fake_runs import fake_log
from afl_sim.recording import EventLog, write_trace

log = EventLog()
fake_log(log, updates=300)
table = log.table()

def parts():
    yield table.slice(0, 400)
    yield table.slice(400, 400)
    yield table.slice(800, 400)
    print("half-way", flush=True)
    sleep(600)

write_trace(parts(), Path({path!r}), total=len(table), drawn=len(table))
"""


def test_a_kill_while_the_trace_streams_leaves_nothing_under_its_name(tmp_path):
    path = tmp_path / "trace.json"
    code = STUCK.format(support=os.path.dirname(fake_log.__code__.co_filename), path=str(path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "half-way\n"
        assert not path.exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert not path.exists()
    assert len(os.listdir(tmp_path)) == 1  # the hidden draft
    log = EventLog()
    fake_log(log, updates=20)
    write_trace(log.table(), path)
    assert os.listdir(tmp_path) == ["trace.json"]


def test_a_disk_that_fills_while_the_trace_streams_leaves_nothing(tmp_path):
    code = f"""
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {os.path.dirname(fake_log.__code__.co_filename)!r})
from fake_runs import fake_log
from afl_sim.errors import AflSimError
from afl_sim.recording import EventLog, write_trace
log = EventLog()
fake_log(log, updates=300)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
table = log.table()
try:
    write_trace([table.slice(0, 500), table.slice(500)], Path({str(tmp_path / "trace.json")!r}))
except AflSimError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.startswith(f"cannot write {tmp_path / 'trace.json'}: ")
    assert os.listdir(tmp_path) == []


def _columns():
    from afl_sim.recording.event_table import COLUMNS

    return (*COLUMNS, "context")
