"""The table of a run's events: what its columns hold, in Arrow and in pandas."""

import pyarrow.parquet as pq

from afl_sim.recording import EventLog
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, DISPATCHED, EVALUATED, KIND_NAMES


def test_absent_values_are_null_in_parquet(tmp_path):
    with EventLog(tmp_path / "events.parquet") as log:
        log.append(1, EVALUATED, -1, -1, 4)
        log.append(2, AGGREGATED, 0, 0, 5, 0, 4, samples=10)
    rows = pq.read_table(tmp_path / "events.parquet").to_pylist()
    assert rows[0] == {
        "seq": 0,
        "time_us": 1,
        "kind": "evaluated",
        "client": None,
        "task": None,
        "version": 4,
        "base_version": None,
        "staleness": None,
        "bytes": 0,
        "steps": None,
        "samples": None,
        "context": None,
    }
    assert rows[1]["client"] == 0
    assert rows[1]["staleness"] == 4
    assert rows[1]["samples"] == 10


def test_kinds_read_back_as_the_whole_vocabulary_in_order():
    log = EventLog()
    log.append(0, DISPATCHED, 3, 0, 0, 0)
    log.append(5_000_000, ARRIVED, 3, 0, 0, 0)
    log.append(5_000_000, AGGREGATED, 3, 0, 1, 0, 0)
    frame = log.frame()
    assert tuple(frame["kind"].cat.categories) == KIND_NAMES
    assert frame["kind"].tolist() == ["dispatched", "arrived", "aggregated"]
