"""Bandwidth logs in their published layouts become links whose bandwidth changes in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afl_sim.errors import InputError
from afl_sim.importers.bandwidth_logs import (
    import_bandwidth,
    import_fcc,
    import_hsdpa,
    import_pensieve,
)
from afl_sim.importers.imported import Imported
from afl_sim.importers.mahimahi import PACKET_BYTES, import_mahimahi
from afl_sim.importers.writing import write
from afl_sim.run.api import load_scenario
from afl_sim.world.links.capacity import FRACTION, Capacity

HSDPA = """\
1289406399 549692 59.851754 10.781778 248069 1008
1289406400 550772 59.851864 10.781833 191698 1080
1289406401 551773 59.851964 10.781901 280579 1001
"""
FCC = """\
unit_id,dtime,target,address,fetch_time,bytes_total,bytes_sec,bytes_sec_interval
12,2016-06-01 00:10:00,a,1.2.3.4,1,10,1000,1
7,2016-06-01 01:00:00,a,1.2.3.4,1,10,250000,1
7,2016-06-01 00:00:00,a,1.2.3.4,1,10,125000,1
7,2016-06-01 03:00:00,a,1.2.3.4,1,10,0,1
"""


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def make(text: str, name: str = "log") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def rows(imported: Imported, table: int = 0) -> list[tuple[str, ...]]:
    return [tuple(row) for row in imported.tables[table].rows]


def links(imported: Imported, folder: Path) -> Any:
    """The download links of the scenario that is written, read as a run reads them."""
    write(imported, folder / "fleet.yaml", force=True)
    trace = load_scenario(folder / "fleet.yaml").clients.network.download.bandwidth_trace
    assert trace is not None
    assert trace.random_start
    return trace.links


# -- Mahimahi --------------------------------------------------------------------------------------


def test_packets_of_a_millisecond_pass_in_the_millisecond_before_it(
    file: Callable[..., Path],
) -> None:
    assert rows(import_mahimahi([file("1\n1\n3\n4\n", "a")])) == [
        ("a", "0", "0.001", "3e+06"),
        ("a", "0.001", "0.002", "0"),
        ("a", "0.002", "0.004", "1.5e+06"),
    ]


def test_at_every_millisecond_as_much_has_passed_as_mahimahi_delivers(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    times = [0, 2, 2, 3, 7, 7, 7, 8, 20]
    (link,) = links(import_mahimahi([file("".join(f"{t}\n" for t in times))]), tmp_path)
    capacity = Capacity(link.ends_us, link.rates, repeats=True)
    period = times[-1]
    for ms in range(1, 3 * period):
        # A later round's packet 0 comes with the last of the round before it.
        delivered = sum(
            1 for again in range(4) for t in times if (t or period) + again * period <= ms
        )
        carried = capacity.carried(0, ms * 1000 << FRACTION)
        assert carried == capacity.amount(delivered * PACKET_BYTES)


def test_suffixes_tell_the_direction(file: Callable[..., Path]) -> None:
    found = import_mahimahi([file("2\n", "a.up"), file("1\n", "a.down"), file("5\n", "b.up")])
    assert [table.name for table in found.tables] == ["download-links", "upload-links"]
    assert [row[0] for row in found.tables[1].rows] == ["a", "a", "b", "b"]
    network = found.clients["network"]
    assert network["download"]["bandwidth_trace"]["trace"].table == "download-links"
    assert network["upload"]["bandwidth_trace"]["trace"].table == "upload-links"
    both = import_mahimahi([file("2\n", "a.up")], direction="both")
    assert [table.name for table in both.tables] == ["links"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n3\n2\n", "log:3: 2 comes after 3; expected times that never fall"),
        ("1\n-3\n", "log:2: got '-3'; expected a whole number of milliseconds"),
        ("1\n2.5\n", "log:2: got '2.5'; expected a whole number of milliseconds"),
        ("1\n9999999999999999\n", "log:2: got 9999999999999999 ms; expected at most 9e+15 ms"),
        ("0\n0\n", "log: all packets are at millisecond 0; expected a trace that lasts"),
        ("", "log is empty; expected measurements"),
        ("\n\n", "log is empty; expected measurements"),
    ],
)
def test_what_is_no_mahimahi_trace_is_refused_with_its_line(
    file: Callable[..., Path], text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        import_mahimahi([file(text)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# -- HSDPA and 4G ----------------------------------------------------------------------------------


def test_a_log_of_bytes_and_milliseconds_becomes_pieces_that_carry_those_bytes(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    (link,) = links(import_hsdpa([file(HSDPA)]), tmp_path)
    assert link.ends_us.tolist() == [1_008_000, 2_088_000, 3_089_000]
    sent = [248069, 191698, 280579]
    lasted = [1.008, 1.080, 1.001]
    assert link.rates.tolist() == pytest.approx([s / t for s, t in zip(sent, lasted, strict=True)])


def test_a_small_difference_of_the_two_clocks_moves_no_bytes(file: Callable[..., Path]) -> None:
    text = "1 1000 0 0 500 1000\n2 2010 0 0 505 1000\n3 3000 0 0 495 1000\n"
    assert rows(import_hsdpa([file(text, "a")])) == [("a", "0", "3", "500")]


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ("zero", [("a", "0", "1", "500"), ("a", "1", "4", "0"), ("a", "4", "5", "700")]),
        ("hold", [("a", "0", "4", "500"), ("a", "4", "5", "700")]),
    ],
)
def test_a_gap_is_refused_or_filled_as_asked(
    file: Callable[..., Path], gaps: Any, expected: list[tuple[str, ...]]
) -> None:
    path = file("1 1000 0 0 500 1000\n2 5000 0 0 700 1000\n", "a")
    with pytest.raises(InputError) as error:
        import_hsdpa([path])
    assert str(error.value) == (
        f"{path}:2: a gap of 3 s: line 1 ends at 1 s, and this one begins at 4 s; expected --gaps "
        "zero (nothing passes), --gaps hold (the bandwidth stays), or a file without gaps"
    )
    found = import_hsdpa([path], gaps=gaps)
    assert rows(found) == expected
    assert f"gaps: 3 s without a measurement, {gaps}" in found.report


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 1500 0 0 5 1000", ":2: begins at 0.5 s, before 1 s, where line 1 ends; expected meas"),
        ("2 2000 0 0 -5 1000", ":2: the number of bytes is '-5'; expected a finite number, 0 or"),
        ("2 2000 0 0 nan 1000", ":2: the number of bytes is 'nan'"),
        ("2 2000 0 0 5", ":2: 5 columns; expected 6"),
        ("2 500 0 0 5 1000", ":2: lasts 1000 ms until 500 ms; expected less"),
    ],
)
def test_a_wrong_line_of_a_log_is_told_with_its_place(
    file: Callable[..., Path], line: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        import_hsdpa([file(f"1 1000 59.8 -10.7 500 1000\n{line}\n3 9000 0 0 x 1\n")])
    assert message in str(error.value).splitlines()[0]


def test_a_link_without_any_bandwidth_is_left_out(file: Callable[..., Path]) -> None:
    dead = file("1 1000 0 0 0 1000\n2 2000 0 0 0 1000\n", "dead")
    with pytest.raises(InputError, match="the bandwidth is always 0"):
        import_hsdpa([dead])
    found = import_hsdpa([dead, file(HSDPA)])
    assert {row[0] for row in rows(found)} == {"log"}
    assert "left out: 1 links without any bandwidth" in found.report


# -- Pensieve and the FCC --------------------------------------------------------------------------


def test_a_trace_of_pensieve_has_the_bandwidth_of_the_time_before_each_line(
    file: Callable[..., Path],
) -> None:
    assert rows(import_pensieve([file("0.0 9\n1.0 0.8\n2.5 0\n4 1.6\n", "a")])) == [
        ("a", "0", "1", "100000"),
        ("a", "1", "2.5", "0"),
        ("a", "2.5", "4", "200000"),
    ]
    with pytest.raises(InputError, match=r"log:3: 1 s comes after 1 s; expected times that rise"):
        import_pensieve([file("0 1\n1 1\n1 2\n")])


def test_a_unit_of_the_fcc_is_a_link_and_its_rows_are_ordered(file: Callable[..., Path]) -> None:
    found = import_fcc([file(FCC)])
    assert rows(found) == [
        ("unit-7", "0", "3600", "125000"),
        ("unit-7", "3600", "7200", "250000"),
    ]
    assert found.report[-2:] == [
        "left out: 1 measurements of 0 bytes per second, which failed",
        "left out: 1 units with one measurement",
    ]
    steps = import_fcc([file(FCC)], step=5.0)
    assert rows(steps) == [
        ("unit-7", "0", "5", "125000"),
        ("unit-7", "5", "10", "250000"),
        ("unit-12", "0", "5", "1000"),
    ]


def test_a_table_of_the_fcc_without_a_header_has_the_same_columns(
    file: Callable[..., Path],
) -> None:
    plain = FCC.split("\n", 1)[1]
    assert rows(import_fcc([file(plain)])) == rows(import_fcc([file(FCC)]))


def test_rates_below_what_a_trace_may_have_are_none(file: Callable[..., Path]) -> None:
    assert rows(import_pensieve([file("0 1\n1 1e-15\n2 0.008\n", "a")])) == [
        ("a", "0", "1", "0"),
        ("a", "1", "2", "1000"),
    ]


# -- other tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns", "unit"),
    [
        ("time,bandwidth\n5,1000\n7,2000\n8,500\n", {}, None),
        ("timestamp,down_kbit_per_s\n5,8\n7,16\n8,4\n", {}, None),
        ("time_ms,lat,rate\n5000,59,1000\n7000,59,2000\n8000,59,500\n", {}, None),
        ("when,x\n5,8\n7,16\n8,4\n", {"bandwidth": ["x"]}, 125.0),
        (
            "time,throughput\n2024-01-01T00:00:05,1000\n2024-01-01T00:00:07,2000\n"
            "2024-01-01T00:00:08,500\n",
            {},
            None,
        ),
    ],
)
def test_a_bandwidth_of_a_table_lasts_until_the_next_row(
    file: Callable[..., Path], text: str, columns: Any, unit: float | None
) -> None:
    assert rows(import_bandwidth([file(text, "a")], columns, unit)) == [
        ("a", "0", "2", "1000"),
        ("a", "2", "3", "2000"),
        ("a", "3", "4", "500"),
    ]


def test_a_table_may_have_several_links(file: Callable[..., Path]) -> None:
    text = "device,time,bandwidth\nb,0,1\na,0,5\nb,2,3\na,9,7\nc,1,1\n"
    found = import_bandwidth([file(text)], {})
    assert [row[0] for row in rows(found)] == ["b", "b", "a", "a"]
    assert "left out: 1 links with one measurement" in found.report


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,bandwidth\n5,1\n4,1\n", "log:3: time 4 is not after that of line 2; expected the"),
        ("time,bandwidth\n5,1\n6,-1\n", "log:3: bandwidth is '-1'; expected a finite number, 0 o"),
        ("time,bandwidth\n5,1\n2024-01-01,1\n", "log:3: time is '2024-01-01'; expected a number"),
        ("time,x\n5,1\n", "log:1: no column of bandwidths; the file has time, x; expected one"),
        ("time,bandwidth\n5,1\n", "log: no link has two measurements"),
        ("time,rate_mbps\n5,1\n6,1\n", "log:1: 'rate_mbps' says mbps, which is no unit of byt"),
    ],
)
def test_a_wrong_table_of_bandwidths_is_refused_with_its_line(
    file: Callable[..., Path], text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        import_bandwidth([file(text)], {"bandwidth": ["rate_mbps"]} if "mbps" in text else {})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("importer", "text", "message"),
    [
        (
            import_pensieve,
            "0 1\n1 1e308\n",
            "log:2: inf bytes per second until 1 s; expected a fin",
        ),
        (import_pensieve, "0 1\n1e300 1\n", "log:2: 1e+300 s; expected at most 9e+12 s"),
        (import_pensieve, "0 1\n1e-9 5\n1 3\n", "log:2: 1e-09 s comes after 0 s; expected times"),
        (import_pensieve, "0 1\n1e305 1\n", "log:2: 1e+305 s; expected at most 9e+12 s"),
        (import_hsdpa, "1 9 0 0 1e308 1\n", "log:1: inf bytes per second until 0.009 s; expected"),
    ],
)
def test_a_link_that_no_scenario_could_have_is_refused_with_its_line(
    importer: Callable[..., Imported], file: Callable[..., Path], text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        importer([file(text)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# -- all -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("importer", "text", "message"),
    [
        (import_hsdpa, "1\n2\n5\n", "looks like a packet-delivery trace of Mahimahi"),
        (import_mahimahi, HSDPA, "looks like a bandwidth log of six columns"),
        (import_mahimahi, "0.0 1.5\n1.0 2\n", "looks like a bandwidth trace of two columns"),
        (import_pensieve, FCC, "looks like a table of the FCC's"),
        (import_fcc, HSDPA, "expected afl-sim import hsdpa, or another file"),
        (import_hsdpa, '{"1": {"messages": ""}}', "looks like a state trace of FLASH"),
    ],
)
def test_a_file_of_another_kind_is_named(
    file: Callable[..., Path], importer: Any, text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        importer([file(text)])
    assert "log:1: looks like " in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08\0", "compressed with gzip; expected it unpacked"),
        (b"\xff\xfe1\0", "UTF-16 text; expected UTF-8"),
        (b"1\n\xff\n", "log:2: not UTF-8 text (byte 0xff)"),
    ],
)
def test_files_that_are_no_text_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(InputError) as error:
        import_mahimahi([tmp_path / "log"])
    assert message in str(error.value)


def test_the_order_of_files_does_not_matter(file: Callable[..., Path]) -> None:
    a, b = file(HSDPA, "a"), file(HSDPA, "b")
    assert import_hsdpa([b, a, b]).tables == import_hsdpa([a, b]).tables
    assert [row[0] for row in rows(import_hsdpa([b, a]))] == ["a"] * 3 + ["b"] * 3
