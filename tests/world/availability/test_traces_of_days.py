"""Traces of availability with dates, names of clients, and periods that repeat."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afl_sim.errors import ScenarioError
from afl_sim.scenario import Scenario, dump_scenario, read_study, scenario_id
from afl_sim.scenario.sections.availability import TracedAvailability
from afl_sim.scenario.traces.instants import Instant, instant_of
from afl_sim.scenario.traces.intervals import folded, joined
from afl_sim.streams import Streams
from afl_sim.world.clients.attendance import attendance_of

HOUR = 3_600_000_000
NIGHTS = """client,start,end
anna,2024-03-01T22:00:00,2024-03-02T06:00:00
bert,2024-03-01T23:30,2024-03-02 05:00:00.5
anna,2024-03-02T22:00:00,2024-03-03T06:00:00
"""


def scenario(folder: Path, text: str, keys: str = "", count: int = 2, more: str = "") -> Scenario:
    (folder / "t.csv").write_text(text)
    file = folder / "s.yaml"
    block = f"{{kind: trace, trace: t.csv, {keys}}}"
    file.write_text(
        f"clients:\n  count: {count}\n  availability: {block}\n{more}strategy: {{kind: x}}\n"
        "stop: {updates: 6}\n"
    )
    return read_study(file, None).cases[0].scenario


def intervals(made: Scenario) -> Any:
    block = made.clients.availability
    assert isinstance(block, TracedAvailability)
    return block.presences.intervals


def refusal(folder: Path, text: str, keys: str = "") -> str:
    with pytest.raises(ScenarioError) as caught:
        scenario(folder, text, keys)
    return str(caught.value)


def hours(*spans: tuple[float, float]) -> tuple[tuple[int, int], ...]:
    return tuple((round(start * HOUR), round(end * HOUR)) for start, end in spans)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1970-01-02 00:00", 24 * HOUR),
        ("1970-01-01T00:00:00.000001999", 1),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00-0130", round(1.5 * HOUR)),
        ("2024-02-29T12:00:00", 1_709_208_000_000_000),
    ],
)
def test_a_date_is_an_instant_to_the_microsecond(text: str, us: int) -> None:
    zoned = "T" in text and any(sign in text.partition("T")[2] for sign in "Z+-")
    assert instant_of(text) == Instant(us, zoned)


@pytest.mark.parametrize(
    "text", ["2023-02-29", "2024-13-01", "2024-03-01T25:00", "20240301", "12:30", "5", "", 5.0]
)
def test_what_is_no_date_is_none(text: object) -> None:
    assert instant_of(text) is None


def test_a_run_begins_at_the_earliest_start(tmp_path: Path) -> None:
    found = intervals(scenario(tmp_path, NIGHTS))
    assert found == (hours((0, 8), (24, 32)), ((round(1.5 * HOUR), 7 * HOUR + 500_000),))


def test_an_origin_moves_the_begin_of_the_run(tmp_path: Path) -> None:
    at_midnight = intervals(scenario(tmp_path, NIGHTS, "origin: 2024-03-01"))
    assert at_midnight[0] == hours((22, 30), (46, 54))
    later = intervals(scenario(tmp_path, NIGHTS, "origin: 2024-03-02T04:00"))
    assert later[0] == hours((0, 2), (18, 26))  # what is earlier is left out
    last = intervals(scenario(tmp_path, NIGHTS, "origin: 2024-03-02T12:00"))
    assert last[1] == ()  # bert has a row, and is gone
    numbers = "client,start_h,end_h\n0,22,30\n1,20,23\n"
    assert intervals(scenario(tmp_path, numbers, "origin: 20 h")) == (hours((2, 10)), hours((0, 3)))


def test_time_zones_are_taken_into_account(tmp_path: Path) -> None:
    text = NIGHTS.replace(":00:00,", ":00:00+01:00,").replace(":00:00\n", ":00:00Z\n")
    text = text.replace("23:30,", "23:30Z,").replace("00.5\n", "00.5Z\n")
    assert intervals(scenario(tmp_path, text))[0] == hours((0, 9), (24, 33))


@pytest.mark.parametrize(
    ("row", "keys", "told"),
    [
        ("c,5,7", "", "t.csv:5: start is '5'; expected a date and time such as 2024-03-01T22:00"),
        ("c,2024-02-30,2024-03-01", "", "t.csv:5: start is '2024-02-30'; expected a date"),
        ("c,2024-03-01,2024-03-02T01:00Z", "", "has a time zone, but line 2 has none"),
        ("c,2024-03-02,2024-03-01", "", "t.csv:5: end 2024-03-01 is not after start 2024-03-02"),
        ("7,2024-03-01,2024-03-02", "", "t.csv:5: client is '7', but line 2 has a name"),
        ("c,2024-03-01,2024-03-02", "repeat: 1 day, origin: 2025-01-01", "before the origin"),
        ("c,2024-03-01,2024-03-02", "factor: 2", "availability.factor: the file has dates"),
        ("c,2024-03-01,2024-03-02", "origin: 5", "availability.origin: got 5.0, but the file has"),
        ("c,2024-03-01,2024-03-02", "origin: 2024-03-01Z", "origin: has a time zone"),
        (
            "c,2024-03-01,2024-03-02",
            "repeat: 1 day, origin: 2023-01-01",
            "is not before the repeat",
        ),
    ],
)
def test_a_wrong_date_is_told_with_its_line(row: str, keys: str, told: str, tmp_path: Path) -> None:
    assert told in refusal(tmp_path, f"{NIGHTS}{row}\n", keys)


def test_a_date_as_origin_of_numbers_is_refused(tmp_path: Path) -> None:
    told = refusal(tmp_path, "client,start,end\n0,1,2\n", "origin: 2024-03-01")
    assert "the times in the file are numbers" in told
    assert "with one of the units" in refusal(tmp_path, NIGHTS, "origin: 5 parsecs")


def test_dates_of_parquet_are_those_of_csv(tmp_path: Path) -> None:
    start = [datetime.datetime(2024, 3, 1, 22), datetime.datetime(2024, 3, 1, 23, 30)]
    end = [datetime.datetime(2024, 3, 2, 6), datetime.datetime(2024, 3, 2, 5)]
    plain = {"client": ["a", "b"], "start": start, "end": end}
    zoned = pa.table(
        {
            "client": ["a", "b"],
            "start": pa.array(start, pa.timestamp("ns", tz="UTC")),
            "end": pa.array(end, pa.timestamp("ms", tz="UTC")),
        }
    )
    for table in (pa.table(plain), zoned):
        pq.write_table(table, tmp_path / "t.parquet")
        file = tmp_path / "p.yaml"
        file.write_text(
            "clients: {count: 2, availability: {kind: trace, trace: t.parquet}}\n"
            "strategy: {kind: x}\nstop: {updates: 6}\n"
        )
        found = intervals(read_study(file, None).cases[0].scenario)
        assert found == (hours((0, 8)), hours((1.5, 7)))


def test_names_are_numbered_in_their_order(tmp_path: Path) -> None:
    text = "client,start,end\nphone-2,0,2\nphone-10,0,1\nphone-2,5,6\n"
    assert intervals(scenario(tmp_path, text)) == (
        ((0, 1_000_000),),
        ((0, 2_000_000), (5_000_000, 6_000_000)),
    )


def test_an_interval_wraps_at_the_repeat(tmp_path: Path) -> None:
    text = "client,start,end\n0,22,30\n1,0,24\n"
    made = scenario(tmp_path, text.replace("start,end", "start_h,end_h"), "repeat: 1 day")
    assert intervals(made) == (hours((0, 6), (22, 24)), hours((0, 24)))
    there = attendance_of(made.clients, Streams(0))
    assert there is not None
    found = [there.state(0, round(hour * HOUR))[0] for hour in (0, 5.9, 6, 21.9, 22, 29, 30, 46)]
    assert found == [True, True, False, False, True, True, False, True]
    assert all(there.state(1, hour * HOUR)[0] for hour in range(60))


def test_an_origin_turns_the_day_of_a_trace_that_repeats(tmp_path: Path) -> None:
    made = scenario(tmp_path, NIGHTS.rpartition("anna")[0], "repeat: 1 day, origin: 2024-03-02")
    assert intervals(made)[0] == hours((0, 6), (22, 24))


def test_each_client_may_have_a_repeat_of_its_own(tmp_path: Path) -> None:
    text = "client,start,end\n0,8,12\n1,8,12\n"
    made = scenario(tmp_path, text, "repeat: {values: [10, 20]}")
    there = attendance_of(made.clients, Streams(0))
    assert there is not None

    def presence(client: int) -> list[bool]:
        return [there.state(client, second * 1_000_000)[0] for second in range(40)]

    assert presence(0) == ([True] * 2 + [False] * 6 + [True] * 2) * 4
    assert presence(1) == ([False] * 8 + [True] * 4 + [False] * 8) * 2
    assert there.state(0, 8_500_000) == (True, 10_000_000)
    assert "above 0" in refusal(tmp_path, text, "repeat: {values: [10, 0]}")
    assert "has values for 3 clients" in refusal(tmp_path, text, "repeat: {values: [1, 2, 3]}")


@given(
    spans=st.lists(
        st.tuples(st.integers(-50, 50), st.integers(1, 40)).map(lambda s: (s[0], s[0] + s[1])),
        max_size=5,
    ),
    repeat=st.integers(1, 60),
)
def test_folding_keeps_who_is_there_when(spans: list[tuple[int, int]], repeat: int) -> None:
    made = joined(folded(spans, repeat))
    by_hand = {time % repeat for start, end in spans for time in range(start, end)}
    assert {time for start, end in made for time in range(start, end)} == by_hand
    assert all(0 <= start < end <= repeat for start, end in made)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(made))


def test_half_of_a_fleet_has_nights(tmp_path: Path) -> None:
    def away(share: str, seed: int = 0, groups: str = "") -> list[int]:
        text = (
            f"clients:\n  count: 40\n  availability: {{kind: bernoulli, probability: 0{share}}}\n"
            f"{groups}strategy: {{kind: x}}\nstop: {{updates: 6}}\n"
        )
        made = read_study(text, None).cases[0].scenario
        there = attendance_of(made.clients, Streams(seed))
        assert there is not None
        return [client for client in range(40) if not there.state(client, 0)[0]]

    half = away(", clients_share: 0.5")
    assert len(half) == 20
    assert set(half) < set(away(", clients_share: 0.75"))
    assert len(away("")) == 40
    assert half != away(", clients_share: 0.5", seed=1)
    groups = "  groups:\n    - {name: a, count: 10}\n    - {name: b, count: 30}\n"
    assert len(away(", clients_share: 0.5", groups=groups)) == 20


def test_the_others_still_join_and_leave() -> None:
    text = (
        "clients:\n  count: 10\n  availability: {kind: bernoulli, probability: 0, leaves: 2 h, "
        "clients_share: 0.5}\nstrategy: {kind: x}\nstop: {updates: 6}\n"
    )
    there = attendance_of(read_study(text, None).cases[0].scenario.clients, Streams(0))
    assert there is not None
    assert sum(there.state(client, 0)[0] for client in range(10)) == 5
    assert not any(there.state(client, 2 * HOUR)[0] for client in range(10))


def test_a_scenario_without_the_new_keys_is_written_as_before(tmp_path: Path) -> None:
    made = scenario(tmp_path, "client,start,end\n0,1,2\n1,1,2\n", "repeat: 10")
    written = made.clients.availability.model_dump()
    assert not {"clients_share", "origin", "factor"} & written.keys()
    assert written["repeat"] == 10.0
    new = scenario(tmp_path, NIGHTS, "origin: 2024-03-01, repeat: {values: [9 h, 30 h]}")
    again = read_study(dump_scenario(new), None).cases[0].scenario
    assert again == new
    assert scenario_id(again) == scenario_id(new)
    assert np.diff(intervals(again)[0]).tolist() == [[8 * HOUR]] * 2
