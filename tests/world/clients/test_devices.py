"""Clients that are devices of a table: what is measured together stays together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition import deal
from afl_sim.run.api import load_scenario, read_study, simulate
from afl_sim.run.of_devices import client_speeds, measured_sizes
from afl_sim.scenario import dump_scenario
from afl_sim.scenario.traces.devices import read_devices
from afl_sim.streams import Streams
from afl_sim.world.clients.attendance import attendance_of
from afl_sim.world.clients.devices import with_devices
from afl_sim.world.clients.grouping import grouping_of, samples_by_devices
from afl_sim.world.links.varying import client_links

TABLE = """\
device,seconds_per_task,samples,on,off,weight
a,1,10,4,1,1
b,2,20,8,2,1
c,3,30,12,3,2
"""
FLEET = """\
clients:
  count: COUNT
  devices: DEVICES
  availability: AVAILABILITY
strategy: {kind: fedasync, concurrency: 1}
data: {partition: PARTITION}
stop: {updates: 3}
"""


def load(
    folder: Path,
    table: str = TABLE,
    *,
    count: int = 3,
    devices: str = "phones.csv",
    availability: str = "{kind: on_off, on: 1, off: 1}",
    partition: str = "{kind: iid, samples: devices}",
    more: str = "",
) -> Any:
    (folder / "phones.csv").write_text(table)
    text = FLEET.replace("COUNT", str(count)).replace("DEVICES", devices)
    text = text.replace("AVAILABILITY", availability).replace("PARTITION", partition)
    file = folder / "fleet.yaml"
    file.write_text(text + more)
    return load_scenario(file)


def refusal(folder: Path, table: str = TABLE, **settings: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(folder, table, **settings)
    (line,) = str(caught.value).splitlines()
    return line


def test_speed_samples_and_stays_of_a_client_come_from_one_row(tmp_path: Path) -> None:
    made = load(tmp_path, count=60, devices="phones.csv", partition=DRAWN)
    streams = Streams(made.seed)
    sizes = samples_by_devices(made.clients, streams)
    speed = with_devices(made.clients, streams, int).compute.speed
    attendance = attendance_of(made.clients, streams)
    assert attendance is not None
    assert set(sizes.tolist()) == {10, 20, 30}
    for client, size in enumerate(sizes.tolist()):
        assert speed.mean(client) == size / 10
        there, until = attendance.state(client, 0)
        assert there
        assert until == 400_000 * size
        assert attendance.state(client, 400_000 * size) == (False, 500_000 * size)


DRAWN = "{kind: iid, samples: devices, replacement: true}"


def test_a_mean_of_its_own_stretches_the_law_of_the_scenario(tmp_path: Path) -> None:
    settings = "{kind: on_off, on: {dist: expon, scale: 100}, off: 1}"
    made = load(tmp_path, devices="{trace: phones.csv, by: client}", availability=settings)
    on = with_devices(made.clients, Streams(0), int).availability.on
    assert [on.mean(client) for client in range(3)] == [4, 8, 12]
    median = [on.quantile(0.5, client) for client in range(3)]
    assert median == pytest.approx([np.log(2) * mean for mean in (4, 8, 12)])


def test_without_replacement_each_device_is_one_client(tmp_path: Path) -> None:
    made = load(tmp_path, devices="{trace: phones.csv, replacement: false}")
    for seed in range(20):
        assert sorted(samples_by_devices(made.clients, Streams(seed)).tolist()) == [10, 20, 30]
    orders = {tuple(samples_by_devices(made.clients, Streams(s)).tolist()) for s in range(60)}
    assert len(orders) == 6


def test_heavier_devices_are_taken_more_often_without_replacement(tmp_path: Path) -> None:
    made = load(tmp_path, count=2, devices="{trace: phones.csv, replacement: false}")
    tries = 3000
    taken = Counter(
        frozenset(samples_by_devices(made.clients, Streams(seed)).tolist()) for seed in range(tries)
    )
    # Two of the weights 1, 1, 2 drawn one after the other: a and b in either order.
    chance = 2 * (1 / 4 * 1 / 3)
    deviation = (tries * chance * (1 - chance)) ** 0.5
    assert abs(taken[frozenset((10, 20))] - tries * chance) < 4 * deviation


def test_no_client_has_an_advantage_by_its_number(tmp_path: Path) -> None:
    made = load(tmp_path, count=2, devices="{trace: phones.csv, replacement: false}")
    tries = 3000
    heavy = np.array(
        [samples_by_devices(made.clients, Streams(seed)) == 30 for seed in range(tries)]
    ).sum(axis=0)
    # Row c is taken with 1 - 1/6, and either client gets it as often.
    deviation = (tries * 5 / 12 * 7 / 12) ** 0.5
    assert np.all(abs(heavy - tries * 5 / 12) < 4 * deviation)


def test_groups_that_share_a_table_without_replacement_share_no_device(tmp_path: Path) -> None:
    more = "  groups: [{name: a, share: 0.5}, {name: b, share: 0.5}]\n"
    table = TABLE + "d,4,40,16,4,1\n"
    devices = f"{{trace: phones.csv, replacement: false}}\n{more}"
    made = load(tmp_path, table, count=4, devices=devices)
    found = samples_by_devices(made.clients, Streams(3))
    assert sorted(found.tolist()) == [10, 20, 30, 40]
    line = refusal(tmp_path, count=6, devices=devices)
    assert "has 3 devices for 6 clients; expected at least as many, or replacement: true" in line


def test_the_partition_gives_each_client_the_samples_of_its_device(tmp_path: Path) -> None:
    labels = np.arange(60, dtype=np.int64) % 10
    for partition in (
        "{kind: iid, samples: devices}",
        "{kind: dirichlet, alpha: 0.5, samples: devices}",
        "{kind: classes, samples: devices, replacement: true}",
        DRAWN,
    ):
        made = load(tmp_path, devices="{trace: phones.csv, by: client}", partition=partition)
        dealt = deal(
            made.data, Annotations(labels, 10), 3, (), Streams(0), (), measured_sizes(made)
        )
        assert dealt.training.sizes.tolist() == [10, 20, 30]
        assert [len(dealt.training.indices(client)) for client in range(3)] == [10, 20, 30]


def test_quantity_divides_all_samples_in_proportion_to_the_devices(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        devices="{trace: phones.csv, by: client}",
        partition="{kind: quantity, law: devices}",
    )
    labels = np.zeros(600, dtype=np.int64)
    dealt = deal(made.data, Annotations(labels, 10), 3, (), Streams(0), (), measured_sizes(made))
    assert dealt.training.sizes.tolist() == [100, 200, 300]


def test_too_many_samples_of_devices_are_refused_with_the_ways_out(tmp_path: Path) -> None:
    made = load(tmp_path, devices="{trace: phones.csv, by: client}")
    labels = np.zeros(59, dtype=np.int64)
    with pytest.raises(ScenarioError) as caught:
        deal(made.data, Annotations(labels, 10), 3, (), Streams(0), (), measured_sizes(made))
    assert str(caught.value).startswith(
        "data.partition.samples: the clients' devices have 60 samples, but there are 59 to deal out"
    )


def test_a_factor_rounds_samples_to_whole_numbers_of_at_least_one(tmp_path: Path) -> None:
    made = load(
        tmp_path, devices="{trace: phones.csv, by: client, factor: {samples: 0.04}}", count=3
    )
    assert samples_by_devices(made.clients, Streams(0)).tolist() == [1, 1, 1]
    made = load(tmp_path, devices="{trace: phones.csv, by: client, factor: {samples: 0.16}}")
    assert samples_by_devices(made.clients, Streams(0)).tolist() == [2, 3, 5]


def test_an_id_says_which_client_of_the_availability_trace_a_device_is(tmp_path: Path) -> None:
    (tmp_path / "presence.csv").write_text("client,start,end\nzoe,5,6\nanna,1,2\n7b,3,4\n")
    table = "seconds_per_task,availability\n1,zoe\n2,anna\n3,7b\n4,zoe\n"
    made = load(
        tmp_path,
        table,
        count=4,
        devices="{trace: phones.csv, by: client}",
        availability="{kind: trace, trace: presence.csv}",
        partition="iid",
    )
    attendance = attendance_of(made.clients, Streams(0))
    assert attendance is not None
    begins = [attendance.state(client, 0) for client in range(4)]
    assert begins == [(False, s * 1_000_000) for s in (5, 1, 3, 5)]


def test_numbers_of_clients_need_no_rows_for_clients_that_no_device_is(tmp_path: Path) -> None:
    (tmp_path / "presence.csv").write_text("client,start,end\n5,1,2\n9,3,4\n")
    table = "seconds_per_task,availability\n1,9\n2,5\n"
    settings: dict[str, Any] = {
        "count": 2,
        "devices": "{trace: phones.csv, by: client}",
        "partition": "iid",
    }
    for trace in ("presence.csv", "presence.csv, number_clients: in_order"):
        kind = f"{{kind: trace, trace: {trace}}}"
        made = load(tmp_path, table, availability=kind, **settings)
        attendance = attendance_of(made.clients, Streams(0))
        assert attendance is not None
        assert [attendance.state(client, 0) for client in (0, 1)] == [
            (False, 3_000_000),
            (False, 1_000_000),
        ]
    line = refusal(tmp_path, table + "3,6x\n", availability=kind, **{**settings, "count": 3})
    assert "a device with the availability '6x'" in line
    assert "presence.csv has no client '6x'" in line


def test_columns_says_which_columns_are_read(tmp_path: Path) -> None:
    table = "client,name,seconds_per_task,samples,what is this\nx,?,2,q,!\ny,?,4,q,!\n"
    made = load(
        tmp_path,
        table,
        devices="{trace: phones.csv, columns: [seconds_per_task]}",
        availability="always",
        partition="iid",
    )
    assert made.clients.devices.devices.columns == {"seconds_per_task": (2.0, 4.0)}
    for columns, told in (
        ("[seconds_per_tsak]", "did you mean 'seconds_per_task'"),
        ("[name]", "'name' takes the place of no key; expected some of seconds_per_task, samples"),
    ):
        line = refusal(
            tmp_path, table, devices=f"{{trace: phones.csv, columns: {columns}}}", partition="iid"
        )
        assert "fleet.yaml:3: clients.devices.columns" in line
        assert told in line


def test_names_of_columns_say_units(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("GFLOP_per_s,GB_per_s,efficiency,memory_MiB,on_h,off_ms\n2,3,0.5,4,1,9\n")
    assert read_devices(file).columns == {
        "flops_per_second": (2e9,),
        "bytes_per_second": (3e9,),
        "efficiency": (0.5,),
        "memory": (4 * 2**20,),
        "on": (3600,),
        "off": (0.009,),
    }


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"partition": "iid"}, "the file has a column for samples, but the partition does not"),
        (
            {"availability": "always"},
            "a column for on and off, but clients.availability is of the kind",
        ),
        (
            {
                "availability": "{kind: on_off, on: {dist: pareto, b: 1, allow_heavy_tail: true}, "
                "off: 1}"
            },
            "this law is stretched, but its mean is inf; expected a finite mean above 0",
        ),
        ({"availability": "{kind: on_off, on: 1, off: 0}"}, "its mean is 0; expected"),
        (
            {"table": "seconds_per_task\n1\n", "availability": "always"},
            "got devices, but the devices have no column for samples",
        ),
        (
            {"table": "on,off\n1\n"},
            "phones.csv:2: 1 cell; expected 2, as in the header",
        ),
        ({"table": "on,off,samples\n1,2,0\n"}, "phones.csv:2: samples is '0'; expected"),
        (
            {"table": "probability\n1.5\n"},
            "phones.csv:2: probability is '1.5'; expected a number from 0 to 1",
        ),
        (
            {"table": "flops_per_second,efficiency\n1,0\n"},
            "phones.csv:2: efficiency is '0'; expected a number above 0, at most 1",
        ),
        (
            {"table": "seconds_per_sample,efficiency\n1,1\n"},
            "phones.csv:1: has efficiency, which describes a processor further; expected flops_per",
        ),
        (
            {"table": "seconds_per_sample,GFLOPS\n1,1\n"},
            "phones.csv:1: has seconds_per_sample and GFLOPS; expected one of them",
        ),
        (
            {"devices": "{trace: phones.csv, by: client, replacement: false}"},
            "clients.devices.replacement: needs by: sample",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    settings: dict[str, str], told: str, tmp_path: Path
) -> None:
    assert told in refusal(tmp_path, **settings)


def test_speed_correlation_and_samples_of_devices_exclude_each_other(tmp_path: Path) -> None:
    correlated = "{kind: iid, samples: devices}, speed_correlation: {of: labels}"
    line = refusal(tmp_path, partition=correlated)
    assert "data.speed_correlation: it hands the clients' samples around" in line


def test_speed_correlation_goes_on_with_the_speeds_of_a_table(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        devices="{trace: phones.csv, by: client, columns: [seconds_per_task]}",
        availability="always",
        partition="iid, speed_correlation: {of: labels}",
    )
    assert client_speeds(made) == (1, 2, 3)


def test_power_of_a_device_comes_from_its_row(tmp_path: Path) -> None:
    table = (
        "seconds_per_task,power_compute_mW,power_idle,power_download,power_upload\n"
        "10,500,1,0,0\n10,2000,2,0,0\n"
    )
    settings: dict[str, Any] = {
        "count": 2,
        "devices": "{trace: phones.csv, by: client}",
        "availability": "always",
        "partition": "iid",
    }
    made = load(tmp_path, table, **settings)
    two = made.strategy.model_copy(update={"concurrency": 2})
    stop = made.stop.model_copy(update={"updates": None, "virtual_seconds": 10.0})
    made = made.model_copy(update={"strategy": two, "stop": stop})
    used = simulate(made, timing_only=True).summary["energy_joules"]
    assert (used["compute"], used["idle"]) == (25, 0)
    without = table.replace("power_compute_mW", "weight")
    assert "no power for compute" in refusal(tmp_path, without, **settings)


STRATEGY = "strategy: {kind: fedasync, concurrency: 2}\nstop: {versions: 3}\n"
LINKS = "link,start,end,kB_per_s\nbus,0,1,10\nlan,0,1,20\ntram,0,1,40\n"


def with_links(folder: Path, table: str, upload: str) -> Any:
    """Three clients, devices of a table, with links of a trace in both directions."""
    (folder / "links.csv").write_text(LINKS)
    (folder / "d.csv").write_text(table)
    file = folder / "links.csv"
    up = upload % file if "%s" in upload else upload
    clients = (
        f"{{count: 3, devices: {{trace: {folder / 'd.csv'}, by: client}}, network: {{download: "
        f"{{bandwidth_trace: {file}}}, upload: {up}}}}}"
    )
    return read_study(f"{STRATEGY}clients: {clients}\n").cases[0].scenario


def test_a_device_names_its_link_in_the_traces_of_bandwidth(tmp_path: Path) -> None:
    made = with_links(
        tmp_path,
        "seconds_per_task,link\n1,tram\n2,bus\n3,tram\n",
        "{bandwidth_trace: {trace: %s, random_start: true}}",
    )
    (part,) = grouping_of(made.clients, Streams(5)).parts
    download, upload = client_links(part.clients.network, Streams(5), part.place, part.links)
    assert [download.position(client) for client in range(3)] == [(2, 0), (0, 0), (2, 0)]
    assert [upload.position(client)[0] for client in range(3)] == [2, 0, 2]
    again = read_study(dump_scenario(made)).cases[0].scenario
    assert again.clients == made.clients


@pytest.mark.parametrize(
    ("table", "upload", "told"),
    [
        ("seconds_per_task,link\n1,tram\n2,bus\n3,ship\n", "{}", "has no link 'ship'; expected"),
        (
            "seconds_per_task,link\n1,tram\n2,bus\n3,\n",
            "{}",
            "d.csv:4: link is ''; expected a whole number or a name",
        ),
        (
            "seconds_per_task,link\n1,tram\n2,bus\n3,lan\n",
            "{bandwidth_trace: {trace: %s, by: client}}",
            "the column link of",
        ),
    ],
)
def test_a_link_that_is_not_there_is_told(
    table: str, upload: str, told: str, tmp_path: Path
) -> None:
    if "client" in upload:
        (tmp_path / "own.csv").write_text("client,start,end,kB_per_s\n0,0,1,1\n1,0,1,1\n2,0,1,1\n")
        upload = upload % (tmp_path / "own.csv")
    with pytest.raises(ScenarioError) as caught:
        with_links(tmp_path, table, upload)
    (line,) = str(caught.value).splitlines()
    assert told in line


def test_a_column_of_links_needs_a_trace_that_has_them(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("seconds_per_task,link\n1,tram\n")
    text = f"clients: {{count: 3, devices: {tmp_path / 'd.csv'}}}\n"
    with pytest.raises(ScenarioError, match=r"no link of clients\.network follows a trace"):
        read_study(f"{STRATEGY}{text}")
