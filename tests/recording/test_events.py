"""The event log, its digest and the metrics log."""

import errno
import hashlib
import math
import os
import random
import resource
import struct
import subprocess
import sys
from contextlib import contextmanager

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fake_runs import fake_log

from afl_sim.errors import AflSimError
from afl_sim.recording import EventLog, MetricsLog
from afl_sim.recording.event_table import COLUMNS, DIGEST_COLUMNS, to_frame
from afl_sim.recording.rows_ahead import BLOCK
from afl_sim.world import event_kinds
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, DISPATCHED, EVALUATED, KIND_NAMES

ROWS = [
    (0, DISPATCHED, 3, 0, 0, 0, -1),
    (5_000_000, ARRIVED, 3, 0, 0, 0, -1),
    (5_000_000, AGGREGATED, 3, 0, 1, 0, 0),
]


def digest_by_hand(rows):
    packed = b"".join(struct.pack("<7q", *row) for row in rows)
    return hashlib.sha256(packed).hexdigest()


def test_the_code_of_a_kind_is_its_place_among_the_names():
    codes = [getattr(event_kinds, name.upper()) for name in KIND_NAMES]
    assert codes == list(range(len(KIND_NAMES)))


def test_importing_recording_loads_no_heavy_library():
    heavy = ("torch", "simpy", "matplotlib", "pandas", "pyarrow", "scipy")
    code = f"import sys, afl_sim.recording; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_schedule_digest_is_sha256_over_the_packed_digest_columns():
    log = EventLog()
    for row in ROWS:
        log.append(*row)
    assert DIGEST_COLUMNS == (
        "time_us",
        "kind",
        "client",
        "task",
        "version",
        "base_version",
        "staleness",
    )
    assert log.schedule_digest == digest_by_hand(ROWS)


def test_the_digest_ignores_evaluations_sizes_and_context():
    log = EventLog()
    log.append(0, EVALUATED, -1, -1, 0)
    for row in ROWS:
        log.append(*row, bytes=77, steps=3, samples=96, context='{"tier": 1}')
    log.append(6_000_000, EVALUATED, -1, -1, 1)
    assert log.schedule_digest == digest_by_hand(ROWS)


@pytest.mark.parametrize("column", range(7))
def test_the_digest_sees_every_digest_column(column):
    log = EventLog()
    for row in ROWS[:-1]:
        log.append(*row)
    changed = list(ROWS[-1])
    changed[column] += 1
    if DIGEST_COLUMNS[column] == "kind":
        changed[column] = ARRIVED
    log.append(*changed)
    assert log.schedule_digest != digest_by_hand(ROWS)


def test_asking_for_the_digest_half_way_does_not_change_it():
    log = EventLog()
    for row in ROWS:
        log.append(*row)
        _ = log.schedule_digest
    assert log.schedule_digest == digest_by_hand(ROWS)
    assert len(log) == len(ROWS)


def test_asking_for_the_digest_half_way_does_not_change_a_byte_of_the_file(tmp_path):
    def written(name, every):
        with EventLog(tmp_path / name) as log:
            for n in range(20 * BLOCK + 5):
                context = f'{{"n": {n}}}' if n % 5000 == 0 else None
                log.append(n, n % 5, n % 7, n // 7, n // 50, context=context)
                if n % every == 0:
                    _ = log.schedule_digest
        return (tmp_path / name).read_bytes()

    undisturbed = written("a", 10**9)
    assert written("b", 1000) == undisturbed
    assert written("c", 9999) == undisturbed
    file = pq.ParquetFile(tmp_path / "b").metadata
    assert [file.row_group(n).num_rows for n in range(2)] == [16 * BLOCK, 4 * BLOCK + 5]


def test_a_digest_that_was_asked_for_half_way_still_finds_events_out_of_order(tmp_path):
    log = EventLog(tmp_path / "events.parquet")
    log.append(5, DISPATCHED, 0, 0, 0)
    _ = log.schedule_digest
    log.append(4, ARRIVED, 0, 0, 0)
    with pytest.raises(AflSimError, match="order of time"):
        _ = log.schedule_digest
    assert list(tmp_path.iterdir()) == []


def test_memory_and_file_hold_the_same_rows_over_many_blocks(tmp_path):
    path = tmp_path / "events.parquet"
    memory = EventLog()
    with EventLog(path) as stream:
        for n in range(2 * BLOCK + 5):
            for log in (memory, stream):
                context = f'{{"n": {n}}}' if n % 5000 == 0 else None
                log.append(n, n % 5, n % 7, n // 7, n // 50, context=context)
        assert not path.exists()
        assert stream.schedule_digest == memory.schedule_digest
    assert [entry.name for entry in tmp_path.iterdir()] == ["events.parquet"]
    table = pq.read_table(path)
    frame = to_frame(table)
    pd.testing.assert_frame_equal(frame, memory.frame())
    assert frame["seq"].tolist() == list(range(2 * BLOCK + 5))
    assert table.schema.names == ["seq", *COLUMNS, "context"]
    with_context = frame[frame["context"].notna()]
    assert with_context["context"].tolist() == [f'{{"n": {n}}}' for n in with_context["seq"]]
    assert with_context["seq"].tolist() == [0, 5000, 10000, 15000]


def test_an_empty_log_closes_to_a_readable_file(tmp_path):
    with EventLog(tmp_path / "events.parquet") as log:
        pass
    assert len(log) == 0
    assert log.schedule_digest == hashlib.sha256().hexdigest()
    assert len(to_frame(pq.read_table(tmp_path / "events.parquet"))) == 0


def test_events_out_of_order_are_refused():
    log = EventLog()
    log.append(5, DISPATCHED, 0, 0, 0)
    log.append(4, ARRIVED, 0, 0, 0)
    with pytest.raises(AflSimError, match="order of time"):
        _ = log.schedule_digest
    log = EventLog()
    log.append(5, DISPATCHED, 0, 0, 0)
    _ = log.schedule_digest
    log.append(4, ARRIVED, 0, 0, 0)
    with pytest.raises(AflSimError, match="order of time"):
        log.close()


def test_times_that_are_not_integers_are_refused_at_once():
    with pytest.raises(struct.error):
        EventLog().append(0.5, DISPATCHED, 0, 0, 0)


def test_an_exception_leaves_no_event_file(tmp_path):
    def run():
        with EventLog(tmp_path / "events.parquet") as log:
            log.append(0, DISPATCHED, 0, 0, 0)
            raise KeyError("boom")

    with pytest.raises(KeyError):
        run()
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_is_harmless_and_appending_after_close_is_not_lost_silently(tmp_path):
    log = EventLog(tmp_path / "events.parquet")
    log.append(0, DISPATCHED, 0, 0, 0)
    log.close()
    log.close()
    log.append(1, ARRIVED, 0, 0, 0)
    with pytest.raises(AflSimError, match="closed"):
        log.close()


def test_a_full_disk_gives_one_clear_line_and_no_half_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "events.parquet"
    log = EventLog(path)
    log.append(0, DISPATCHED, 0, 0, 0)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AflSimError, match=r"cannot write .*events\.parquet: the disk is full"):
        log.close()
    metrics = MetricsLog(tmp_path / "metrics.parquet")
    with pytest.raises(AflSimError, match=r"metrics\.parquet: the disk is full"):
        metrics.close()
    assert list(tmp_path.iterdir()) == []


@contextmanager
def file_size_limit(size):
    """Let the operating system refuse every file larger than ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 2, 20_000])
def test_a_disk_that_fills_while_events_stream_gives_one_clear_line(tmp_path, size):
    draw = random.Random(1).randrange  # numbers that do not compress away

    def run():
        with EventLog(tmp_path / "events.parquet") as log:
            for n in range(20 * BLOCK):
                log.append(n, DISPATCHED, 0, 0, 0, bytes=draw(2**40))

    says = r"cannot write .*events\.parquet: the file is larger"
    with pytest.raises(AflSimError, match=says), file_size_limit(size):
        run()
    assert list(tmp_path.iterdir()) == []


def test_metrics_read_back_as_written(tmp_path):
    log = MetricsLog(tmp_path / "metrics.parquet")
    log.append(0, 0, 0, 0, 0.1, 2.3, [0.0, 0.2])
    log.append(60_000_000, 3, 30, 18_000, 0.5, 1.5, [0.4, 0.6], 0.25)
    log.close()
    log.close()
    rows = pq.read_table(tmp_path / "metrics.parquet").to_pandas()
    assert rows["time_us"].tolist() == [0, 60_000_000]
    assert rows["updates"].tolist() == [0, 30]
    assert rows["accuracy"].tolist() == [0.1, 0.5]
    assert rows["class_accuracy"].iloc[1].tolist() == [0.4, 0.6]
    assert rows["squared_gradient_norm"].isna().tolist() == [True, False]
    assert rows["squared_gradient_norm"].iloc[1] == 0.25
    assert log.rows[-1].version == 3
    assert len(log) == 2


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_an_evaluation_that_diverged_has_no_numbers_but_a_word(tmp_path, loss):
    log = MetricsLog(tmp_path / "metrics.parquet")
    log.append(0, 0, 0, 0, 0.1, 2.3, [0.0, math.nan], 4.0)
    log.append(1, 1, 1, 20, 0.1, 2.3, [0.0, 0.2], math.inf)
    log.append(2, 2, 2, 40, 0.5, loss, [0.4, 0.6], math.nan)
    log.close()
    numbers = ("accuracy", "loss", "class_accuracy", "squared_gradient_norm", "status")
    rows = pq.read_table(tmp_path / "metrics.parquet").select(numbers).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0.1, 2.3, [0.0, None], 4.0, "ok"),
        (0.1, 2.3, [0.0, 0.2], None, "gradient diverged"),
        (None, None, [None, None], None, "diverged"),
    ]
    again = MetricsLog()
    for row in log.rows:
        again.append(*row)
    assert again.rows == log.rows
    assert log.frame()["loss"].isna().tolist() == [False, False, True]


def test_metrics_without_rows_still_have_their_columns(tmp_path):
    MetricsLog(tmp_path / "metrics.parquet").close()
    table = pq.read_table(tmp_path / "metrics.parquet")
    assert table.num_rows == 0
    assert table.schema.names[:4] == ["time_us", "version", "updates", "samples"]


def test_the_toy_log_has_balanced_books():
    log = EventLog()
    count = fake_log(log, updates=100)["updates"]
    assert count["dispatched"] == (
        count["arrived"] + count["failed"] + count["cancelled"] + count["in_flight"]
    )
    assert count["arrived"] == count["aggregated"] + count["discarded"] + count["buffered"]
