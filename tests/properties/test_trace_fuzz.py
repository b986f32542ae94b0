"""Whatever is in the file of a trace, it is read whole or refused with its name and line."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afl_sim.scenario.devices import DeviceProblems, read_devices
from afl_sim.scenario.intervals import read_intervals
from afl_sim.scenario.traces import TraceProblem, read_trace

quiet = settings(deadline=None, max_examples=150)
NAMES = ["client", "start", "end", "seconds_per_task", "weight", "upload_bandwidth", "stat", ""]
CELLS = st.one_of(
    st.integers(-2, 9),
    st.floats(-1, 1e13) | st.sampled_from([float("nan"), float("inf"), 1e300]),
    st.sampled_from([None, True, "", "x", "1e999", "9" * 400, "-0", "٣", "\x00", "1_0", "0x1"]),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """The names of a few columns, most often sensible ones, and rows of anything."""
    sensible = st.sampled_from([["client", "start", "end"], ["seconds_per_task", "weight"]])
    names = draw(sensible | st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
    good = st.integers(0, 5) if draw(st.booleans()) else CELLS
    rows = st.lists(st.lists(good, min_size=len(names), max_size=len(names)), max_size=6)
    return names, draw(rows)


def read_all(file: Path, repeat: float | None = None) -> None:
    """Read it as each kind of trace; whichever way it goes, hold it to its promises."""
    try:
        intervals, _ = read_intervals(file, repeat)
    except TraceProblem as problem:
        refused(file, problem.message)
    else:
        assert any(intervals)
        for each in intervals:
            assert all(start < end for start, end in each)
            assert all(a[1] < b[0] for a, b in itertools.pairwise(each))
            assert repeat is None or not each or each[-1][1] <= repeat * 1e6 + 1
    try:
        devices = read_devices(file)
    except DeviceProblems as problems:
        for message in problems.messages:
            refused(file, message)
    else:
        assert sum(devices.weights) == pytest.approx(1)
        assert all(value >= 0 for column in devices.columns.values() for value in column)
    try:
        values, _ = read_trace(file, None)
    except TraceProblem as problem:
        refused(file, problem.message)
    else:
        assert values
        assert all(value >= 0 for value in values)


def refused(file: Path, message: str) -> None:
    assert str(file) in message
    assert "Traceback" not in message


@quiet
@given(content=st.binary(max_size=120) | st.text(max_size=80).map(lambda t: t.encode("utf-16")))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name, start in (("x.csv", b""), ("y.csv", b"client,start,end\n"), ("z.parquet", b"PAR1")):
        file = folder / name
        file.write_bytes(start + content)
        read_all(file)


@quiet
@given(table=tables(), repeat=st.none() | st.sampled_from([3.0, 1e6]))
def test_any_table_as_csv(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[list[str], list[list[Any]]],
    repeat: float | None,
) -> None:
    names, rows = table
    text = io.StringIO(newline="")
    csv.writer(text).writerows([names, *rows])
    file = tmp_path_factory.mktemp("fuzz") / "x.csv"
    file.write_bytes(text.getvalue().encode())
    read_all(file, repeat)


@quiet
@given(table=tables(), repeat=st.none() | st.just(3.0))
def test_any_table_as_parquet(
    tmp_path_factory: pytest.TempPathFactory,
    table: tuple[list[str], list[list[Any]]],
    repeat: float | None,
) -> None:
    names, rows = table
    columns = []
    for i in range(len(names)):
        cells = [row[i] for row in rows]
        try:
            columns.append(pa.array(cells))
        except (pa.ArrowException, OverflowError):
            columns.append(pa.array([None if cell is None else str(cell) for cell in cells]))
    file = tmp_path_factory.mktemp("fuzz") / "x.parquet"
    pq.write_table(pa.table(columns, names=names), file)
    read_all(file, repeat)


def test_intervals_are_the_same_from_either_kind_of_file(tmp_path: Path) -> None:
    columns = {"client": [1, 0, 1], "start": [5.0, 0.5, 1.0], "end": [6.0, 2.0, 5.0]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("client,start,end\n1,5,6\n0,0.5,2\n1,1,5\n", encoding="utf-8")
    (found, digest), (written, other) = (
        read_intervals(tmp_path / name, None) for name in ("x.parquet", "x.csv")
    )
    assert found == written == (((500_000, 2_000_000),), ((1_000_000, 6_000_000),))
    assert digest != other


def test_a_wrong_row_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"client": [0, 1.5], "start": [0, 0], "end": [1, 1]}), file)
    with pytest.raises(TraceProblem) as found:
        read_intervals(file, None)
    assert found.value.message == f"{file}:2: client 1.5; expected a whole number from 0"
