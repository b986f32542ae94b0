"""FedScale's, FLASH's, MobiPerf's and other tables of devices and of their availability."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from afl_sim.errors import InputError
from afl_sim.importers.availability import import_availability
from afl_sim.importers.devices import import_devices, import_mobiperf, meaning
from afl_sim.importers.fedscale import import_fedscale
from afl_sim.importers.flash import import_flash
from afl_sim.importers.imported import Imported
from afl_sim.importers.writing import write
from afl_sim.run.api import load_scenario
from afl_sim.scenario import Scenario
from afl_sim.streams import Streams
from afl_sim.world.clients.attendance import attendance_of

CAPACITY = {i: {"computation": 100.0 + i, "communication": 5000.5} for i in (1, 2, 3)}
BEHAVIOUR = {
    1: {
        "duration": 160,
        "inactive": [150, 360],
        "finish_time": 500,
        "active": [50, 300],
        "model": "CPH1801",
    },
    2: {"duration": 9, "inactive": [20], "finish_time": 500, "active": [11], "model": "M"},
}
FLASH = """\
2020-01-29 00:00:00\tbattery_charged_on
2020-01-29 00:01:00\twifi
2020-01-29 00:02:00\tscreen_lock
2020-01-29 06:00:00\tscreen_unlock
2020-01-29 06:00:01\t88%
2020-01-29 23:00:00\tscreen_lock
2020-01-30 00:00:00\tscreen_on
"""


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def make(content: Any, name: str = "trace") -> Path:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_bytes(pickle.dumps(content, 3))
        return path

    return make


def rows(imported: Imported, name: str) -> list[tuple[str, ...]]:
    return [tuple(row) for table in imported.tables if table.name == name for row in table.rows]


def scenario_of(imported: Imported, folder: Path) -> Scenario:
    write(imported, folder / "fleet.yaml", force=True)
    return load_scenario(folder / "fleet.yaml")


def available(built: Scenario, client: int, seconds: Sequence[float]) -> list[bool]:
    found = attendance_of(built.clients, Streams(1))
    assert found is not None
    return [found.state(client, round(time * 1e6))[0] for time in seconds]


# -- FedScale --------------------------------------------------------------------------------------


def test_capacities_give_fedscales_own_times(file: Callable[..., Path], tmp_path: Path) -> None:
    found = import_fedscale([file(CAPACITY)])
    devices = scenario_of(found, tmp_path).clients.devices
    assert devices is not None
    columns = devices.devices.columns
    # 3 x batch x steps x ms / 1000 seconds, and kilobytes x 8 / communication seconds.
    assert columns["seconds_per_sample"] == pytest.approx([3 * ms / 1000 for ms in (101, 102, 103)])
    size = 204_000
    seconds = size / 1024 * 8 / 5000.5
    for name in ("download_bandwidth", "upload_bandwidth"):
        assert [size / rate for rate in columns[name]] == pytest.approx([seconds] * 3)
    assert found.report == [f"{tmp_path}/trace: 3 devices"]


def test_behaviour_repeats_after_its_finish_time(file: Callable[..., Path], tmp_path: Path) -> None:
    built = scenario_of(import_fedscale([file(BEHAVIOUR)]), tmp_path)
    assert built.clients.count == 2
    times = [49, 50, 149, 150, 300, 359, 360, 499, 550, 649, 650]
    assert available(built, 0, times) == [
        *(False, True, True, False, True, True, False, False, True, True, False)
    ]
    assert available(built, 1, [10, 11, 19, 20, 511]) == [False, True, True, False, True]


def test_clients_may_have_finish_times_of_their_own(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    other = {**BEHAVIOUR, 2: {**BEHAVIOUR[2], "finish_time": 30}}
    built = scenario_of(import_fedscale([file(CAPACITY, "a"), file(other, "b")]), tmp_path)
    assert built.clients.count == 2
    assert built.clients.devices is not None
    assert available(built, 1, [10, 11, 41, 50, 71]) == [False, True, True, False, True]
    assert available(built, 0, [41, 550, 560]) == [False, True, True]


def test_json_has_the_same_content_as_a_pickle(file: Callable[..., Path]) -> None:
    told = file(json.dumps(BEHAVIOUR), "b.json")
    assert import_fedscale([told]).tables == import_fedscale([file(BEHAVIOUR)]).tables


def test_entries_that_cannot_be_are_left_out_and_counted(file: Callable[..., Path]) -> None:
    wrong: dict[Any, Any] = {
        **BEHAVIOUR,
        3: {**BEHAVIOUR[2], "active": [1, 2]},
        4: {**BEHAVIOUR[2], "finish_time": -1},
        5: {**BEHAVIOUR[2], "inactive": [11]},
        6: {**BEHAVIOUR[2], "active": "x"},
        7: {**BEHAVIOUR[2], "active": [1e-7], "inactive": [2e-7]},
    }
    found = import_fedscale([file(wrong)])
    assert found.count == 2
    assert [line for line in found.report if line.startswith("left out")] == [
        "left out: 2 clients that are never available",
        "left out: 2 clients whose active and inactive are no lists of the same length",
        "left out: 1 clients whose finish_time is no number above 0",
        "left out: 2 intervals that do not last",
    ]
    bad = {
        1: {"computation": -1.0, "communication": 2.0},
        2: {"computation": 1, "communication": 0},
    }
    devices = import_fedscale([file({**bad, 3: CAPACITY[3]}, "c")])
    assert len(rows(devices, "devices")) == 1
    assert len(devices.report) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "nothing; expected a dictionary of clients"),
        ([1], "a list; expected a dictionary of clients"),
        ({1: 2}, "client 1 has a int; expected a dictionary"),
        ({1: {"speed": 2}}, "its entries have 'speed'; expected one file with computation"),
        ({1: {"computation": 0.0, "communication": 1.0}}, "no device has numbers above 0"),
        ('{"1": {"computation": ', "not readable as JSON"),
        ("1\n2\n3\n", "looks like a packet-delivery trace of Mahimahi"),
    ],
)
def test_what_is_no_trace_of_fedscale_is_refused(
    file: Callable[..., Path], content: Any, message: str
) -> None:
    with pytest.raises(InputError) as error:
        import_fedscale([file(content)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_two_files_of_the_same_kind_are_refused(file: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="a second file of its kind"):
        import_fedscale([file(CAPACITY, "a"), file(CAPACITY, "b")])


def test_only_the_first_clients_are_used_if_asked(file: Callable[..., Path]) -> None:
    found = import_fedscale([file(CAPACITY)], clients=2, factor=1)
    assert [row[:2] for row in rows(found, "devices")] == [("1", "0.101"), ("2", "0.102")]


# -- FLASH -----------------------------------------------------------------------------------------


def flash(*messages: str) -> str:
    return json.dumps(
        {str(681 + i): {"guid": "g", "model": "M", "messages": m} for i, m in enumerate(messages)}
    )


def test_a_phone_is_available_while_charged_on_wifi_and_locked(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    found = import_flash([file(flash(FLASH))])
    assert rows(found, "availability") == [("0", "120", "21600"), ("0", "82800", "86400")]
    built = scenario_of(found, tmp_path)
    day = 86_400.0
    assert available(built, 0, [119, 120, 21599, 21600, 82800, day, day + 120]) == [
        *(False, True, True, False, True, False, True)
    ]
    assert "time zero: 2020-01-29 00:00:00" in found.report


@pytest.mark.parametrize(
    ("require", "expected"),
    [
        (["charged"], [("0", "0", "86400")]),
        (["charged", "wifi"], [("0", "60", "86400")]),
        (["locked"], [("0", "120", "21600"), ("0", "82800", "86400")]),
    ],
)
def test_the_conditions_can_be_chosen(
    file: Callable[..., Path], require: list[str], expected: list[tuple[str, ...]]
) -> None:
    assert rows(import_flash([file(flash(FLASH))], require), "availability") == expected


def test_each_client_repeats_after_its_own_messages(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    half = FLASH.replace("2020-01-30 00:00:00", "2020-01-29 23:30:00")
    found = import_flash([file(flash(FLASH, half))])
    assert rows(found, "repeats") == [("0", "86400"), ("1", "84600")]
    built = scenario_of(found, tmp_path)
    assert available(built, 1, [84600 + 119, 84600 + 120]) == [False, True]
    common = import_flash([file(flash(FLASH, half))], repeat=100_000)
    assert common.clients["availability"]["repeat"] == 100_000


def test_what_is_unknown_in_a_state_trace_is_counted(file: Callable[..., Path]) -> None:
    odd = FLASH + "2020-01-30 00:00:00\tflying\n"
    found = import_flash([file(flash(odd, "", "2020-01-29 00:00:00\twifi\n"))])
    assert "left out: 1 messages with the unknown state 'flying'" in found.report
    assert "left out: 2 clients whose messages last no time" in found.report


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (flash("2020-01-29 00:00\twifi\nx\tscreen_lock\n"), "client 681, message 2: 'x'; expected"),
        (
            flash("2020-01-29 00:01:00\twifi\n2020-01-29 00:00:00\twifi\n"),
            "client 681, message 2: 2020-01-29 00:00:00 is before the message before it",
        ),
        (flash("2020-01-29 00:01:00\twifi\n2020-01-29 00:02:00\twifi\n"), "no client is ever"),
        ('{"messages": ', ":1: not readable as JSON"),
        ("[]", "expected a JSON object with a client for each key"),
    ],
)
def test_a_wrong_state_trace_is_refused(file: Callable[..., Path], text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        import_flash([file(text)])
    assert message in str(error.value)


def test_an_unknown_condition_is_refused_with_the_nearest(file: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="did you mean 'charged'"):
        import_flash([file(flash(FLASH))], ["charging"])


# -- availability ----------------------------------------------------------------------------------


def logs(
    path: Path, columns: Mapping[str, Sequence[str]] = {}, repeat: float | None = None
) -> list[tuple[str, ...]]:
    return rows(import_availability([path], columns, repeat), "availability")


@pytest.mark.parametrize(
    "text",
    [
        "client,start,end\n7,0,10\n9,5,6\n7,20,30\n",
        "user_id,begin,until\n9,5,6\n7,0,10\n7,20,30\n",
        "id,start_ms,end_ms\n7,0,10000\n7,20000,30000\n9,5000,6000\n",
        "uid,from,to\nb,2024-01-01 00:00:05,2024-01-01 00:00:06\n"
        "a,2024-01-01 00:00:00,2024-01-01 00:00:10\na,2024-01-01 00:00:20,2024-01-01 00:00:30\n",
        "client,start,end\n7,1700000000,1700000010\n9,1700000005,1700000006\n"
        "7,1700000020,1700000030\n",
        "client,start,end\n7,1700000000000,1700000010000\n9,1700000005000,1700000006000\n"
        "7,1700000020000,1700000030000\n",
        "device,time,state\n7,0,on\n9,5,1\n9,6,off\n7,10,0\n7,20,online\n7,30,offline\n",
    ],
)
def test_logs_of_all_forms_become_the_same_intervals(file: Callable[..., Path], text: str) -> None:
    assert logs(file(text)) == [("0", "0", "10"), ("0", "20", "30"), ("1", "5", "6")]


def test_a_client_that_is_on_at_the_end_stays_until_the_end_of_the_log(
    file: Callable[..., Path],
) -> None:
    text = "client,time,state\na,0,on\na,1,on\nb,2,off\nb,3,on\nb,9,off\n"
    found = import_availability([file(text)], {})
    assert rows(found, "availability") == [("0", "0", "9"), ("1", "3", "9")]
    assert "left out: 2 changes to the state that a client has" in found.report


def test_columns_can_be_named_and_a_repeat_given(file: Callable[..., Path], tmp_path: Path) -> None:
    path = file("who,a,b\nx,10,20\n")
    columns = {"client": ["who"], "start": ["a"], "end": ["b"]}
    built = scenario_of(import_availability([path], columns, 15.0), tmp_path)
    assert available(built, 0, [4, 5, 9, 10, 14, 15, 19, 20]) == [
        *(True, False, False, True, True, True, True, False)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("client,start,end\na,5,4\n", ":2: end 4 is before start 5"),
        ("client,start,end\na,1,2\nb,2024-01-01,2024-01-02\n", ":3: start is '2024-01-01'; expec"),
        ("client,start,end\na,2024-01-01,2024-01-02\nb,1,2\n", ":3: start is '1'; expected a date"),
        (
            "client,start,end\na,1700000000,1700000010\nb,1700000000000,1700000005000\n",
            ":3: start is '1700000000000'; expected a number of seconds, 0 or more, in the same "
            "unit as trace:2",
        ),
        ("client,start,end\na,-1,2\n", ":2: start is '-1'; expected a number of seconds, 0 or m"),
        ("client,start,end\n,1,2\n", ":2: no client"),
        ("client,start,end\na,1\n", ":2: 2 cells; expected 3, as in the header"),
        ("client,time,state\na,2,on\na,1,off\n", ":3: time 1 is before that of line 2; expected"),
        ("client,time,state\na,2,perhaps\n", ":2: state is 'perhaps'; expected on or off"),
        ("client,strt,end\na,1,2\n", ":1: the columns are client, strt, end; expected client, st"),
        ("start,end\n1,2\n", ":1: no column of clients; the file has start, end; expected one na"),
        ("client;start;end\n1;1;2\n", ":1: the cells are separated by semicolons"),
        ("client,start,start\n1,1,2\n", ":1: column 'start' twice"),
        ("client,start,end\n", ": no client is ever available; expected some"),
        (
            "client,start,end_msec\na,1,2\n",
            ":1: 'end_msec' says msec, which is no unit of seconds; expected one of them, or "
            "another name; did you mean 'ms'?",
        ),
    ],
)
def test_a_wrong_log_is_refused_with_its_line(
    file: Callable[..., Path], text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        logs(file(text), {"end": ["end_msec"]} if "msec" in text else {})
    assert message in str(error.value)


# -- tables of devices -----------------------------------------------------------------------------

AI = "Model,MobileNet V2 (ms),Score\nA,30,1\nB,60,2\nA,32,3\nD,,4\n"
NETWORK = "phone,tcp_down,rtt_ms\nB,1000,20\nA,3000,40\nC,1,10\n"


def devices_of(built: Scenario) -> Mapping[str, Sequence[float]]:
    assert built.clients.devices is not None
    return built.clients.devices.devices.columns


def test_tables_are_joined_by_device_with_the_median_of_its_rows(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    meanings = [
        meaning("seconds_per_sample=MobileNet V2 (ms)"),
        meaning("download_bandwidth=tcp_down:kbit/s"),
        meaning("download_latency=rtt_ms"),
    ]
    paths = [file(AI, "ai.csv"), file(NETWORK, "net.csv")]
    found = import_devices(paths, meanings, factor=3)
    assert devices_of(scenario_of(found, tmp_path)) == {
        "seconds_per_sample": pytest.approx((0.093, 0.18)),
        "download_bandwidth": (375_000, 125_000),
        "download_latency": (0.04, 0.02),
    }
    assert found.report == [
        "2 devices: seconds_per_sample, download_latency, download_bandwidth",
        "ai.csv: left out: 1 rows with an empty cell",
        "net.csv: left out: 1 devices that are not in ai.csv",
    ]


def test_columns_with_the_names_of_a_device_trace_need_no_meaning(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    found = import_devices([file("seconds_per_sample,weight\n0.5,2\n0.25,1\n")], [])
    assert devices_of(scenario_of(found, tmp_path)) == {"seconds_per_sample": (0.5, 0.25)}


@pytest.mark.parametrize(
    ("columns", "text", "message"),
    [
        ([], AI, ":1: no column is known: the file has Model, MobileNet V2 (ms), Score; expected"),
        (["seconds_per_sampl=x"], AI, "did you mean 'seconds_per_sample'"),
        (["seconds_per_sample"], AI, "--column: got 'seconds_per_sample'; expected KEY=NAME"),
        (["seconds_per_sample=Scor"], AI, "no column 'Scor', as --column says"),
        (["seconds_per_sample=Score:kbit/s"], AI, "is no unit here"),
        (
            ["upload_latency=rtt_msec"],
            "rtt_msec\n40\n",
            ":1: 'rtt_msec' says msec, which is no unit of seconds; expected one of them, or "
            "--column upload_latency=rtt_msec:UNIT; did you mean 'ms'?",
        ),
        (["weight=s:kB"], "s\n1\n", "--column: weight=s: got the unit 'kB'; expected none"),
        (["seconds_per_sample=s"], "s\n1\n-2\n", ":3: s is '-2'; expected a number above 0"),
        (
            ["seconds_per_sample=s"],
            "s\n1\n30 ms\n",
            ":3: s is '30 ms'; expected a number above 0 w",
        ),
        (["upload_latency=s"], "s\n0\nnan\n", ":3: s is 'nan'; expected a number of 0 or more"),
        (["weight=s", "upload_bandwidth=b:GB/s"], "s,b\n1,1e308\n", ":2: b is '1e308'; expected a"),
        (["upload_latency=s"], "s\n", ": no row has a number in each column"),
        ([], "0.5,3\n1,2\n", ":1: the header has the number '0.5' as a name"),
    ],
)
def test_a_wrong_table_of_devices_is_refused(
    file: Callable[..., Path], columns: list[str], text: str, message: str
) -> None:
    with pytest.raises(InputError) as error:
        import_devices([file(text)], [meaning(column) for column in columns])
    assert message in str(error.value)


def test_a_record_of_mobiperf_is_a_device_with_its_median(
    file: Callable[..., Path], tmp_path: Path
) -> None:
    records = [
        {"tcp_speed_results": [1000, 3000, 8000], "device_properties": {"model": "x"}},
        {"tcp_speed_results": "[400, 800]"},
        {"tcp_speed_results": []},
        {"tcp_speed_results": [1e308]},
        {"other": 1},
    ]
    found = import_mobiperf([file(json.dumps(records))], "download")
    assert devices_of(scenario_of(found, tmp_path)) == {"download_bandwidth": (375_000, 75_000)}
    assert "left out: 3 records without a speed above 0" in found.report
