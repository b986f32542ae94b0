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

from afl_sim.errors import ScenarioError
from afl_sim.scenario import read_study
from afl_sim.scenario.traces.columns import Column, read_trace
from afl_sim.scenario.traces.devices import DeviceColumns, read_devices
from afl_sim.scenario.traces.intervals import Timing, read_intervals
from afl_sim.scenario.traces.tables import TableProblems

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
    for number_clients in (None, "in_order"):
        try:
            timing = Timing(repeat, repeat is not None)
            intervals = read_intervals(file, timing, number_clients)[0].intervals
        except TableProblems as problems:
            refused(file, problems)
        else:
            assert any(intervals)
            assert number_clients is None or all(intervals)
            for each in intervals:
                assert all(start < end for start, end in each)
                assert all(a[1] < b[0] for a, b in itertools.pairwise(each))
                assert repeat is None or not each or each[-1][1] <= repeat * 1e6 + 1
    for reading in (
        DeviceColumns(),
        DeviceColumns("client"),
        DeviceColumns("client", (), "in_order"),
    ):
        try:
            devices = read_devices(file, reading)
        except TableProblems as problems:
            refused(file, problems)
        else:
            assert sum(devices.weights) == pytest.approx(1)
            assert all(value >= 0 for column in devices.columns.values() for value in column)
    for column in (Column(), Column("start"), Column("end", "client", 0.001, "in_order")):
        try:
            values, _, _ = read_trace(file, column)
        except TableProblems as problems:
            refused(file, problems)
        else:
            assert values
            assert all(value >= 0 for value in values)


def refused(file: Path, problems: TableProblems) -> None:
    assert 1 <= len(problems.messages) <= 21
    assert len(set(problems.messages)) == len(problems.messages)
    for message in problems.messages:
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
        read_intervals(tmp_path / name) for name in ("x.parquet", "x.csv")
    )
    assert found == written
    assert found.intervals == (((500_000, 2_000_000),), ((1_000_000, 6_000_000),))
    assert digest != other


def test_a_wrong_row_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"client": [0, 1.5], "start": [0, 0], "end": [1, 1]}), file)
    with pytest.raises(TableProblems) as found:
        read_intervals(file)
    assert found.value.messages == [
        f"{file}:2: client is 1.5; expected a whole number from 0, or a name"
    ]


SCENARIO = """\
clients:
  count: 2
  compute: {seconds_per_task: {trace: x.csv, column: seconds_per_task}}
  devices: {trace: x.csv, by: client}
  availability: {kind: trace, trace: x.csv, repeat: 3}
strategy: {kind: fedasync, concurrency: 1}
stop: {updates: 1}
"""
LINES = {"compute": 3, "devices": 4, "availability": 5}
TEXT = st.text(
    st.sampled_from("0123456789.,;\t\r\n\"'-e client start end seconds_per_task\x00\ufeffé"),
    max_size=60,
)


@quiet
@given(text=st.text(max_size=40) | TEXT, headed=st.booleans(), part=st.sampled_from([*LINES]))
def test_any_text_is_read_or_refused_in_one_error_with_file_and_line(
    tmp_path_factory: pytest.TempPathFactory, text: str, headed: bool, part: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    header = "client,start,end\n" if part == "availability" else "client,seconds_per_task\n"
    content = (header if headed else "") + text
    (folder / "x.csv").write_bytes(content.encode("utf-8", "surrogatepass"))
    file = folder / "fleet.yaml"
    lines = SCENARIO.splitlines(keepends=True)
    others = {line - 1 for name, line in LINES.items() if name != part}
    kept = [line if i not in others else "\n" for i, line in enumerate(lines)]
    file.write_text("".join(kept), encoding="utf-8")
    try:
        read_study(file, None)
    except ScenarioError as error:
        told = str(error).splitlines()
        assert 1 <= len(told) <= 21
        assert len(set(told)) == len(told)
        for line in told:
            assert line.startswith(f"{file}:{LINES[part]}: clients.{part}."), line
