"""How every trace is opened: what is no table is named, and no row is read otherwise than meant."""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import hashlib
import lzma
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afl_sim.scenario.traces.columns import Column, read_trace
from afl_sim.scenario.traces.devices import DeviceColumns, read_devices
from afl_sim.scenario.traces.intervals import Timing, read_intervals
from afl_sim.scenario.traces.tables import TableProblems, open_table, opening, table

HEADERS = {
    "column": "seconds",
    "devices": "seconds_per_task,weight",
    "presence": "client,start,end",
}
ROWS = {"column": "1", "devices": "1,2", "presence": "0,1,2"}


def read_as(kind: str, file: Path) -> Any:
    """Read a file as one of the three kinds of traces."""
    if kind == "column":
        return read_trace(file, Column())
    return read_devices(file) if kind == "devices" else read_intervals(file)


def refusal(read: Callable[[], Any]) -> list[str]:
    with pytest.raises(TableProblems) as found:
        read()
    return found.value.messages


def column(file: Path, name: str | None = None, **more: Any) -> tuple[float, ...]:
    return read_trace(file, Column(name, **more))[0]


def parquet(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    file = folder / "t.parquet"
    pq.write_table(pa.table(columns), file, **options)
    return file


kinds = pytest.mark.parametrize("kind", list(HEADERS))


# -- files ---------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"seconds\n1\n", mtime=0), "is compressed with gzip; expected it unpacked"),
        (bz2.compress(b"seconds\n1\n"), "is compressed with bzip2"),
        (lzma.compress(b"seconds\n1\n"), "is compressed with xz"),
        (b"\x28\xb5\x2f\xfd rest", "is compressed with zstd"),
        (b"PK\x03\x04 rest", "is a zip file or an Excel workbook"),
        (b"PAR1 rest", "is Parquet; expected a name that ends in .parquet"),
        ("seconds\n1\n".encode("utf-16"), "is UTF-16 text; expected UTF-8"),
        ("seconds\n1\n".encode("utf-32"), "is UTF-32 text; expected UTF-8"),
        ("a\n1\n".encode("utf-16-le"), "t.csv:1: holds a zero byte, as UTF-16 or binary files do"),
        (b"seconds\n1\n\0\n", "t.csv:3: holds a zero byte"),
        ("é\n1\n".encode("latin-1"), "t.csv:1: not UTF-8 text (byte 0xe9)"),
        (b"x\n" * 20_000 + b"\xff\n", "t.csv:20001: not UTF-8 text (byte 0xff)"),
        (b"", "t.csv is empty; expected a header row and rows under it"),
        (b"\n\n", "t.csv is empty; expected a header row"),
    ],
    ids=lambda value: value.split(";")[0] if isinstance(value, str) else "",
)
def test_a_file_that_is_no_csv_is_told_for_what_it_is(
    kind: str, content: bytes, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    if content.startswith(b"x\n"):
        row = ROWS[kind].encode() + b"\n"
        content = HEADERS[kind].encode() + b"\n" + row * 19_999 + b"\xff\n"
    file.write_bytes(content)
    (message,) = refusal(lambda: read_as(kind, file))
    assert said in message


@kinds
def test_what_is_no_regular_file_is_refused_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(refusal(lambda: read_as(kind, pipe))))
    thread.daemon = True
    thread.start()
    thread.join(20)
    assert found == [f"{pipe} is not a regular file; expected a CSV or Parquet file"]
    assert refusal(lambda: read_as(kind, tmp_path)) == [
        f"{tmp_path} is a folder; expected a CSV or Parquet file"
    ]


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    assert refusal(lambda: open_table(pipe)) == [
        f"{pipe} is not a regular file; expected a CSV or Parquet file"
    ]


@kinds
def test_a_file_that_is_not_there_has_a_neighbour(kind: str, tmp_path: Path) -> None:
    (tmp_path / "phones.csv").write_text("x\n1\n")
    assert refusal(lambda: read_as(kind, tmp_path / "fones.csv")) == [
        f"there is no file {tmp_path / 'fones.csv'}; did you mean '{tmp_path / 'phones.csv'}'?"
    ]
    (message,) = refusal(lambda: read_as(kind, tmp_path / ("x" * 300)))
    assert "File name too long" in message
    (message,) = refusal(lambda: read_as(kind, Path("a\0b")))
    assert "embedded null" in message


@kinds
def test_a_file_beyond_the_size_limit_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"{HEADERS[kind]}\n{ROWS[kind]}\n")
    monkeypatch.setattr(opening, "MAX_BYTES", file.stat().st_size - 1)
    (message,) = refusal(lambda: read_as(kind, file))
    assert "is larger than" in message


@kinds
def test_rows_beyond_the_limit_are_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MAX_ROWS", 1000)
    file = tmp_path / "t.csv"
    row = ROWS[kind]
    file.write_text("\n".join([HEADERS[kind], *[row] * 1001]))
    assert refusal(lambda: read_as(kind, file)) == [f"{file}: more rows; expected at most 1,000"]
    file.write_text("\n".join([HEADERS[kind], *[row] * 1000]) + "\n")
    read_as(kind, file)


@kinds
def test_a_footer_that_promises_too_many_rows_is_refused_before_a_row_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = HEADERS[kind].split(",")
    columns = {name: np.full(1001, float(i)) for i, name in enumerate(names)}
    file = parquet(tmp_path, columns)  # equal numbers: a dictionary and a run length
    monkeypatch.setattr(table, "MAX_ROWS", 1000)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("read"))
    assert refusal(lambda: read_as(kind, file)) == [f"{file}: 1,001 rows; expected at most 1,000"]


def test_columns_that_are_too_large_unpacked_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"{i:0100d}" for i in range(2000)]
    columns = {"seconds": np.ones(2000), "words": words}
    file = parquet(tmp_path, columns, compression="zstd", use_dictionary=False)
    monkeypatch.setattr(opening, "MAX_BYTES", 100_000)
    assert file.stat().st_size < 100_000
    assert column(file, "seconds") == (1.0,) * 2000  # only what is read counts
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("read"))
    (message,) = refusal(lambda: column(file, "words"))
    assert "MiB when unpacked; expected at most" in message


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("seconds\n1\n")
    before = file.stat()
    file.write_text("seconds\n1\n2\n")
    monkeypatch.setattr(os, "fstat", lambda _: before)
    assert refusal(lambda: open_table(file)) == [f"{file} changed while it was read"]


def test_the_sha256_is_that_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    text = tmp_path / "t.csv"
    text.write_text("seconds\n1\n")
    for file in (text, parquet(tmp_path, {"seconds": [1.0]})):
        values, digest, _ = read_trace(file, Column())
        assert values == (1.0,)
        assert digest == hashlib.sha256(file.read_bytes()).hexdigest()


# -- headers -------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.01\n0.02\n", "t.csv:1: the header has the number '0.01' as a name, so the file"),
        ("a,1e3\n1,2\n", "t.csv:1: the header has the number '1e3' as a name"),
        ("-1\n2\n", "t.csv:1: the header has the number '-1' as a name"),
        ("a;b\n1;2\n", "t.csv:1: the cells are separated by semicolons; expected commas"),
        ("0,01;0,02;3\n1;2;3\n", "t.csv:1: the cells are separated by semicolons"),
        ("a\tb\n1\t2\n", "t.csv:1: the cells are separated by tabs; expected commas"),
        ("a|b|c\n1|2|3\n", "t.csv:1: the cells are separated by vertical bars"),
        ("\n\na;b\n1;2\n", "t.csv:3: the cells are separated by semicolons"),
        (",a\n0,1\n", "t.csv:1: column 1 has no name; expected a name for each column (pandas"),
        ("a, ,a\n1,2,3\n", "t.csv:1: column 2 has no name"),
        ("a,a,a\n1,2,3\n", "t.csv:1: column 'a' 3 times; expected it once"),
    ],
)
def test_a_header_that_is_none_is_refused(kind: str, text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    assert said in refusal(lambda: read_as(kind, file))[0]


def test_every_wrong_name_of_a_header_is_told(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,,b,a,b\n1,2,3,4,5\n")
    assert len(refusal(lambda: column(file, "a"))) == 3


@kinds
def test_names_of_a_parquet_file_are_checked_as_well(kind: str, tmp_path: Path) -> None:
    names = [*HEADERS[kind].split(","), HEADERS[kind].split(",")[0], ""]
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table([pa.array([1.0])] * len(names), names=names), file)
    messages = refusal(lambda: read_as(kind, file))
    assert f"{file}: column {len(names)} has no name" in messages[0]
    assert messages[1] == f"{file}: column {names[0]!r} twice; expected it once"


MAHIMAHI = "0\n0\n1\n4\n4\n9\n"


@kinds
def test_a_mahimahi_trace_is_not_taken_for_bandwidths(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "12mbps.up"
    file.write_text(MAHIMAHI)
    (message,) = refusal(lambda: read_as(kind, file))
    assert f"{file}:1: the header has the number '0'" in message
    assert "It looks like a Mahimahi trace, whose lines are the milliseconds at which" in message
    file.write_text("0.5\n0.1\n0.7\n")
    assert "Mahimahi" not in refusal(lambda: read_as(kind, file))[0]


# -- rows ----------------------------------------------------------------------------------------


def test_a_decimal_comma_is_told_and_not_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("seconds\n1,5\n3\n2,5\n")
    assert refusal(lambda: column(file)) == [
        f"{file}:2: 2 cells; expected 1, as in the header (the decimal sign is a point)",
        f"{file}:4: 2 cells; expected 1, as in the header (the decimal sign is a point)",
    ]


@kinds
def test_rows_of_other_lengths_are_mistakes_with_their_lines(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    row = ROWS[kind]
    file.write_text(f'\n{HEADERS[kind]}\n{row},x\n"a\nb",1,2,3,4\n{row}\n{row},\n')
    width = row.count(",") + 1
    assert refusal(lambda: read_as(kind, file)) == [
        f"{file}:3: {width + 1} cells; expected {width}, as in the header",
        f"{file}:4: 5 cells; expected {width}, as in the header",
        f"{file}:7: {width + 1} cells; expected {width}, as in the header",
    ]


def test_an_empty_line_between_rows_would_move_those_below_it(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\nseconds\n5\n\n7\n\n\n9\n\n\n")
    assert refusal(lambda: column(file)) == [
        f"{file}:{line}: an empty line; expected a cell" for line in (4, 6, 7)
    ]


def test_an_open_quotation_is_refused_where_it_begins(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('device,seconds_per_task\na,1\n"b,2\nc,3\nd,4\n')
    (message,) = refusal(lambda: read_devices(file))
    assert message.startswith(f"{file}:3: not readable as CSV: ")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way_and_only_there(end: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    lines = ["device,seconds_per_task", "a\u2028b\x0bc,1", '"d, e",2', "", "f,3"]
    file.write_bytes(end.join(lines).encode("utf-8-sig"))
    assert read_devices(file).columns == {"seconds_per_task": (1, 2, 3)}
    file.write_bytes(end.join([*lines, "g,x"]).encode())
    assert refusal(lambda: read_devices(file))[0].startswith(f"{file}:6: seconds_per_task is 'x'")


@kinds
@pytest.mark.parametrize("cell", ["true", "True", "1_000", "٣", "0x1", "nan", "inf", "1e999", "-1"])
def test_what_is_no_plain_number_is_refused(kind: str, cell: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    cells = ROWS[kind].split(",")
    for wrong in range(len(cells)):
        row = [cell if i == wrong else good for i, good in enumerate(cells)]
        file.write_text(f"{HEADERS[kind]}\n{','.join(row)}\n", encoding="utf-8")
        name = HEADERS[kind].split(",")[wrong]
        (message,) = refusal(lambda: read_as(kind, file))
        assert message.startswith(f"{file}:2: {name} is {cell!r}; expected "), message


@kinds
def test_of_very_many_mistakes_the_first_twenty_are_told(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rows = [",".join("-" for _ in HEADERS[kind].split(","))] * 300
    file.write_text("\n".join([HEADERS[kind], *rows]))
    messages = refusal(lambda: read_as(kind, file))
    assert len(messages) == 21
    assert messages[0].startswith(f"{file}:2: ")
    assert messages[-1] == f"{file}: and {300 * len(HEADERS[kind].split(',')) - 20} more mistakes"


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([True, False], "true and false (bool)"),
        ([[1.0], [2.0]], "lists or blocks (list<item: double>)"),
        ([{"a": 1}, {"a": 2}], "lists or blocks (struct<a: int64>)"),
        ([b"1", b"2"], "no numbers (binary)"),
        ([None, None], "nothing (null)"),
        ([datetime.datetime(2026, 1, 1)] * 2, "dates or times (timestamp[us])"),
        ([datetime.date(2026, 1, 1)] * 2, "dates or times (date32[day])"),
        ([datetime.timedelta(seconds=1)] * 2, "dates or times (duration[us])"),
    ],
)
def test_types_of_parquet_that_are_no_numbers_are_refused(
    cells: list[Any], what: str, tmp_path: Path
) -> None:
    file = parquet(tmp_path, {"seconds_per_task": cells, "client": [0, 1], "end": [1, 1]})
    pattern = what.replace("item", "element") if "item" in what else what
    for read in (lambda: column(file, "seconds_per_task"),):
        (message,) = refusal(read)
        assert message in {
            f"{file}: column 'seconds_per_task' holds {each}; expected numbers"
            for each in (what, pattern)
        }
    file = parquet(tmp_path, {"client": [0, 1], "start": cells, "end": [9, 9]})
    messages = refusal(lambda: read_intervals(file))
    if isinstance(cells[0], datetime.date):  # a date may be a start, but then so is the end
        assert messages[0].startswith(f"{file}:1: end is 9; expected a date and time such as ")
    else:
        assert messages[0].startswith(f"{file}: column 'start' holds {what.split(' (')[0]} (")


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([0, 2, 3], pa.int8()),
        pa.array([0, 2, 3], pa.uint64()),
        pa.array([0, 2, 3], pa.float32()),
        pa.array(np.array([0, 2, 3], np.float16)),
        pa.array([decimal.Decimal("0.00"), decimal.Decimal("2.00"), decimal.Decimal("3.00")]),
        pa.array(["0", " 2 ", "3.0"]),
        pa.array(["0", "2", "3"], pa.large_string()),
        pa.array(["0", "2", "3"]).dictionary_encode(),
        pa.array([0, 2, 3]).dictionary_encode(),
    ],
    ids=lambda cells: str(cells.type),
)
def test_every_kind_of_number_is_read_from_parquet(cells: pa.Array, tmp_path: Path) -> None:
    assert column(parquet(tmp_path, {"seconds": cells})) == (0, 2, 3)


def test_wrong_cells_of_parquet_are_counted_from_one(tmp_path: Path) -> None:
    file = parquet(tmp_path, {"seconds": [None, 1.0, float("nan"), -1.0]})
    assert refusal(lambda: column(file)) == [
        f"{file}:1: seconds is nothing; expected a finite number, 0 or more",
        f"{file}:3: seconds is nan; expected a finite number, 0 or more",
        f"{file}:4: seconds is -1.0; expected a finite number, 0 or more",
    ]
    assert refusal(lambda: column(parquet(tmp_path, {"seconds": pa.array([], pa.null())}))) == [
        f"{file} has no rows"
    ]


def test_a_text_that_stands_in_many_rows_of_parquet_is_held_once(tmp_path: Path) -> None:
    rows, text = 2_000, "x" * 100_000  # 200 MB if each row had a copy
    cells = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([text]))
    file = parquet(tmp_path, {"seconds": cells}, store_schema=False)
    assert pq.ParquetFile(file).schema_arrow.field("seconds").type == pa.string()
    tracemalloc.start()
    messages = refusal(lambda: column(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert messages[0].startswith(f"{file}:1: seconds is 'xxx")
    assert messages[-1] == f"{file}: and 1,980 more mistakes"
    assert peak < 20e6


# -- units ---------------------------------------------------------------------------------------


def test_a_factor_gives_the_numbers_that_their_decimals_mean(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("ms\n" + "\n".join(map(str, range(1, 2000))))
    assert column(file, factor=0.001) == tuple(float(f"{i}e-3") for i in range(1, 2000))
    file.write_text("client,start,end\n0,9,1001\n")
    assert read_intervals(file, Timing(factor=0.001))[0].intervals == (((9_000, 1_001_000),),)
    file.write_text("seconds_per_sample,upload_bandwidth\n9,8\n")
    read = read_devices(
        file, DeviceColumns(factor=(("seconds_per_sample", 0.001), ("upload_bandwidth", 125.0)))
    )
    assert read.columns == {"seconds_per_sample": (0.009,), "upload_bandwidth": (1000.0,)}


def test_bounds_hold_for_what_a_factor_makes(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("client,start,end\n0,1,20\n0,2,1e10\n1,3,3\n")
    assert refusal(lambda: read_intervals(file, Timing(10.0, True, 1000.0))) == [
        f"{file}:2: start 1000 is not before the repeat of 10; expected a longer repeat",
        f"{file}:3: end is '1e10', times the factor 1000; expected a number from 0 to 9e+12",
        f"{file}:4: end 3000 is not after start 3000",
    ]
    assert refusal(lambda: read_intervals(file, Timing(0.0200001, True, 0.001)))[0] == (
        f"{file}:3: lasts 9999999.998 s, longer than the repeat of 0.0200001"
    )
    file.write_text("seconds_per_task,upload_bandwidth\n1e300,1e-300\n")
    factor = (("seconds_per_task", 1e300), ("upload_bandwidth", 1e-300))
    assert refusal(lambda: read_devices(file, DeviceColumns(factor=factor))) == [
        f"{file}:2: seconds_per_task is '1e300', times the factor 1e+300; expected a finite "
        "number, 0 or more",
        f"{file}:2: upload_bandwidth is '1e-300', times the factor 1e-300; expected a finite "
        "number above 0",
    ]


def test_a_factor_is_of_a_column_that_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("device,seconds_per_task,weight\na,1,2\n")
    for name in ("second_per_task", "weight", "device", "upload_latency"):
        with pytest.raises(TableProblems, match="expected some of seconds_per_task") as found:
            read_devices(file, DeviceColumns(factor=((name, 2.0),)))
        assert found.value.key == ("factor", name)


# -- whose row it is -----------------------------------------------------------------------------


def test_a_column_of_clients_says_whose_number_it_is(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("seconds,client\n5,1\n3,0\n4,2\n")
    assert column(file, "seconds", by="client") == (3, 5, 4)
    assert column(file, "seconds") == (5, 3, 4)
    assert column(file, "client", by="client") == (1, 0, 2)
    file.write_text("seconds_per_task,client,weight\n5,1,1\n3,0,3\n")
    read = read_devices(file, DeviceColumns(by="client"))
    assert (read.columns, read.weights) == ({"seconds_per_task": (3, 5)}, (0.75, 0.25))
    (message,) = refusal(lambda: read_devices(file))
    assert "has a column 'client', which is read only with by: client" in message


def by_client(file: Path, **more: Any) -> list[Callable[[], Any]]:
    return [
        lambda: column(file, "seconds_per_task", by="client", **more),
        lambda: read_devices(file, DeviceColumns(by="client", **more)),
    ]


def test_ids_that_are_not_the_numbers_of_the_clients_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for ids, said in (
        ([1, 2, 3], "of clients 0 to 3, 1 has no row; the first is client 0."),
        ([0, 1, 5, 7], "of clients 0 to 7, 4 have no row; the first is client 2."),
        ([1, 9_999_999], "of clients 0 to 9,999,999, 9,999,998 have no row; the first is client 0"),
        ([0, 1, 1], f"t.csv:4: client 1 already has a row, {file.name}:3"),
        (["0", "1.5"], "t.csv:3: client is '1.5'; expected a whole number from 0"),
        (["0", "10000000"], "t.csv:3: client is '10000000'; expected a whole number from 0"),
        (["0", "ann"], "client is 'ann', but line 2 has a number; expected the same in all rows"),
        (["", "1"], "t.csv:2: client is ''; expected a whole number from 0"),
    ):
        rows = "\n".join(f"{i},1" for i in ids)
        file.write_text(f"client,seconds_per_task\n{rows}\n")
        for read in by_client(file):
            (message,) = refusal(read)
            assert said in message


def test_clients_may_be_numbered_in_the_order_of_their_ids(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for ids, expected in (
        ([10, 2, 33], (2, 1, 3)),  # by value: 2, 10, 33
        ([-1, 2**63, 2**63 - 1], (1, 3, 2)),  # exact beyond what a float can tell apart
        (["b", "a", "c_1"], (2, 1, 3)),
        (["9", "10", "x"], (2, 1, 3)),  # one is no number: all are text, and '1' is before '9'
        (["7", "007", "x"], (2, 1, 3)),
        (["1.0", "0", "5"], (2, 1, 3)),
    ):
        rows = "\n".join(f"{each},{i}" for i, each in enumerate(ids, start=1))
        file.write_text(f"client,seconds_per_task\n{rows}\n")
        for read in by_client(file, number_clients="in_order"):
            got = read()
            assert (got if isinstance(got, tuple) else got.columns["seconds_per_task"]) == expected
        rows = "\n".join(f"{each},{i},{i + 1}" for i, each in enumerate(ids, start=1))
        file.write_text(f"client,start,end\n{rows}\n")
        intervals = read_intervals(file, number_clients="in_order")[0].intervals
        assert [each[0][0] / 1e6 for each in intervals] == list(expected)
    file.write_text("client,seconds_per_task\n7,1\n007,2\n")
    for read in by_client(file, number_clients="in_order"):
        assert "client '007' already has a row, t.csv:2" in refusal(read)[0]


def test_ids_of_parquet_are_read_exactly(tmp_path: Path) -> None:
    ids = pa.array([2**53 + 1, 2**53], pa.int64())
    file = parquet(tmp_path, {"client": ids, "start": [1, 3], "end": [2, 4]})
    intervals = read_intervals(file, number_clients="in_order")[0].intervals
    assert intervals == (((3_000_000, 4_000_000),), ((1_000_000, 2_000_000),))
    floats = parquet(tmp_path, {"client": [2.0**53, 1.0], "start": [1, 3], "end": [2, 4]})
    (message,) = refusal(lambda: read_intervals(floats, number_clients="in_order"))
    assert f"{floats}:1: client is 9007199254740992.0; expected a whole number or a name" in message
    names = parquet(tmp_path, {"client": ["b", "a"], "start": [1, 3], "end": [2, 4]})
    assert read_intervals(names, number_clients="in_order")[0].intervals == intervals


@pytest.mark.parametrize("cell", ["", "1.5", "nan", "inf"])
def test_an_id_is_a_whole_number_or_a_name(cell: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"client,start,end\n{cell},0,1\n")
    assert refusal(lambda: read_intervals(file, number_clients="in_order")) == [
        f"{file}:2: client is {cell!r}; expected a whole number or a name"
    ]


def test_numbering_needs_ids(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("seconds_per_task\n1\n")
    for read in by_client(file, number_clients="in_order"):
        with pytest.raises(TableProblems, match="no column 'client'") as found:
            read()
        assert found.value.key == ("number_clients",)
