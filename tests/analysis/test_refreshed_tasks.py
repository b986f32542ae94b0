"""Tables, sums, figures and traces of tasks that downloaded a newer model on their way, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from afl_sim.analysis.activity import spans_of, tasks_of
from afl_sim.analysis.series import bytes_until, computed
from afl_sim.analysis.tally import compute_us, legs_us
from afl_sim.analysis.transfers import transfer_batches
from afl_sim.design.schedule import PHASES, _bytes, _tasks
from afl_sim.recording import EventLog, MetricsLog, Run, RunFolder, load_run, write_trace
from afl_sim.recording.columns import columns_of
from afl_sim.recording.tasks import task_columns
from afl_sim.world.event_kinds import (
    AGGREGATED,
    ARRIVED,
    COMPUTED,
    DISPATCHED,
    DOWNLOADED,
    FAILED,
    REFRESHED,
    REQUESTED,
)

SECOND = 1_000_000


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Client 0 gets a newer model from 3 s to 5 s, 1 none at 4 s; 2 fails, and 3 still waits."""
    folder = RunFolder.create(
        tmp_path / "hand", "name: hand\nclients: {count: 4}\nstrategy: {kind: fedasmu}\n", {}
    )
    with EventLog(folder.events_path) as log, MetricsLog(folder.metrics_path):
        for client in range(4):
            log.append(0, DISPATCHED, client, 0, 0, 0)
        for client in range(4):
            log.append(SECOND, DOWNLOADED, client, 0, 0, 0, bytes=100)
        for client in (0, 2):
            log.append(3 * SECOND, REQUESTED, client, 0, 1, 0)
        for kind in (REQUESTED, REFRESHED):
            log.append(4 * SECOND, kind, 1, 0, 1, 0)
        link = '{"link_us": 4000000, "fresh_version": 1}'
        log.append(5 * SECOND, REFRESHED, 0, 0, 1, 0, bytes=100, context=link)
        log.append(6 * SECOND, FAILED, 2, 0, 1, 0)
        for client in (0, 1):
            log.append(8 * SECOND, COMPUTED, client, 0, 1, 0)
        for client in (0, 1):
            log.append(9 * SECOND, ARRIVED, client, 0, 1, 0, bytes=50)
            log.append(9 * SECOND, AGGREGATED, client, 0, 2 + client, 0, 1 + client)
        log.append(10 * SECOND, REQUESTED, 3, 0, 3, 0)
    return load_run(folder.path)


def test_the_table_of_tasks_says_when_they_asked_and_went_on(run: Run) -> None:
    table = run.tasks
    assert table["requested"].tolist() == [3 * SECOND, 4 * SECOND, 3 * SECOND, 10 * SECOND]
    assert table["refreshed"].isna().tolist() == [False, False, True, True]
    assert table["bytes"].tolist() == [250, 150, 100, 100]


def test_the_second_download_is_a_download_and_no_computation(run: Run) -> None:
    tasks = task_columns(columns_of(run.events))
    legs = pd.DataFrame(legs_us(tasks)) / SECOND
    assert legs["download"].tolist() == [3, 1]
    assert legs["compute"].tolist() == [5, 7]
    assert legs["upload"].tolist() == [1, 1]
    assert (compute_us(tasks)[1] / SECOND).tolist() == [5, 7]
    assert computed(run)["compute_us"].tolist() == [5 * SECOND, 7 * SECOND]


def test_bytes_are_counted_when_the_model_is_there(run: Run) -> None:
    assert bytes_until(run, np.array([0.5, 1, 4.9, 5, 9])).tolist() == [0, 400, 400, 500, 600]


def test_the_second_download_is_a_transfer_of_its_own(run: Run) -> None:
    table = pd.concat(transfer_batches(run))
    later = table[(table["direction"] == "download") & (table["begin"] > 0)]
    assert later[["begin", "end", "bytes", "link_begin", "link_end"]].values.tolist() == [
        [3, 5, 100, 3, 4]
    ]


def test_a_timeline_shows_a_download_within_the_computation(run: Run) -> None:
    expected = {
        0: {"download": [(0, 1), (3, 5)], "compute": [(1, 3), (5, 8)], "upload": [(8, 9)]},
        1: {"download": [(0, 1)], "compute": [(1, 4), (4, 8)], "upload": [(8, 9)]},
        2: {"download": [(0, 1), (3, 6)], "compute": [(1, 3)], "upload": []},
        3: {"download": [(0, 1), (10, 12)], "compute": [(1, 10)], "upload": []},
    }
    for client, spans in expected.items():
        (mine,) = (tasks for tasks in tasks_of(run, [client]) if len(tasks["client"]))
        found = spans_of(mine, until=12)
        assert {leg: found[leg] for leg in spans} == spans


def test_a_trace_shows_it_too(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    write_trace(run.events, path)
    events = json.loads(path.read_text())["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    legs = [
        (e["name"], e["ts"] / SECOND, (e["ts"] + e["dur"]) / SECOND)
        for e in events
        if e.get("cat") == "leg" and tracks[e["tid"]].endswith("0") and e["pid"] == 2
    ]
    assert legs == [
        ("download", 0, 1),
        ("compute", 1, 3),
        ("download", 3, 5),
        ("compute", 5, 8),
        ("upload", 8, 9),
    ]


def test_designs_count_its_bytes_and_its_time_as_those_of_downloads(run: Run) -> None:
    events = columns_of(run.events)
    assert _bytes(events).total.tolist()[-1] == 600
    phases, _ = _tasks(events, 12 * SECOND)
    assert phases == dict(zip(PHASES, (4 + 2 + 3 + 2, 0, 5 + 7 + 2 + 9, 1 + 1), strict=True))
