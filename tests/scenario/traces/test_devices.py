"""Traces of devices: what the file says, what is wrong with it, and whose device a client is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from world_runs import MODEL_BYTES, SECOND, run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario
from afl_sim.scenario import scenario_id
from afl_sim.scenario.traces.devices import read_devices
from afl_sim.scenario.traces.tables import TableProblems
from afl_sim.streams import Streams
from afl_sim.world.clients.devices import with_devices

PHONES = """\
device,seconds_per_task,upload_latency,upload_bandwidth,weight
fast,1,0.5,1000,1
slow,10,2,100,3
"""


def trace(folder: Path, text: str = PHONES) -> Path:
    file = folder / "phones.csv"
    file.write_text(text, encoding="utf-8")
    return file


def legs(outcome: Any, begins: str, ends: str) -> list[float]:
    """Seconds between two rows, by client."""
    began = {row.client: row.time_us for row in outcome.of(begins)}
    return [
        (row.time_us - began[row.client]) / SECOND
        for row in sorted(outcome.of(ends), key=lambda row: row.client)
    ]


def all_once(server: Any) -> Iterator[Any]:
    yield server.wait(server.dispatch_many(range(server.clients)))


def test_a_client_computes_and_sends_as_its_own_row_says(tmp_path: Path) -> None:
    devices = {"trace": str(trace(tmp_path)), "by": "client"}
    outcome = run(scenario(2, fleet={"devices": devices}, down=0.25), all_once)
    assert legs(outcome, "dispatched", "downloaded") == [0.25, 0.25]  # no column: as written
    assert legs(outcome, "downloaded", "computed") == [1, 10]
    assert legs(outcome, "computed", "arrived") == [0.5 + MODEL_BYTES / 1000, 2 + MODEL_BYTES / 100]


def test_a_column_takes_the_place_of_the_key_and_leaves_the_others(tmp_path: Path) -> None:
    compute = {"seconds_per_sample": 99, "jitter": 2, "jitter_seconds": 1}
    devices = {"trace": str(trace(tmp_path)), "by": "client"}
    outcome = run(scenario(2, compute=compute, fleet={"devices": devices}), all_once)
    assert legs(outcome, "downloaded", "computed") == [3, 21]


def test_any_number_of_clients_are_devices_in_proportion_to_weight(tmp_path: Path) -> None:
    clients = 4000
    built = scenario(clients, fleet={"devices": {"trace": str(trace(tmp_path))}}, seed=5)
    drawn = with_devices(built.clients, Streams(5), int)
    speed, upload = drawn.compute.speed, drawn.network.upload
    assert upload.bandwidth is not None
    met = Counter(
        (speed.quantile(0.5, c), upload.latency.quantile(0.1, c), upload.bandwidth.quantile(0.9, c))
        for c in range(clients)
    )
    assert set(met) == {(1, 0.5, 1000), (10, 2, 100)}  # what was measured together stays together
    # Binomial, 4000 draws of 1/4: five standard deviations are 137.
    assert abs(met[1, 0.5, 1000] - clients / 4) < 137
    assert [speed.mean(c) for c in range(20)] == [speed.quantile(0.5, c) for c in range(20)]


def test_the_seed_says_who_is_which_device(tmp_path: Path) -> None:
    built = scenario(50, fleet={"devices": {"trace": str(trace(tmp_path))}})

    def speeds(seed: int) -> list[float]:
        speed = with_devices(built.clients, Streams(seed), int).compute.speed
        return [speed.quantile(0.5, client) for client in range(50)]

    assert speeds(1) == speeds(1) != speeds(2)


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    table = pa.table(
        {
            "device": ["fast", "slow"],
            "seconds_per_task": [1, 10],
            "upload_latency": [0.5, 2.0],
            "upload_bandwidth": [1000.0, 100.0],
            "weight": [1, 3],
        }
    )
    pq.write_table(table, tmp_path / "phones.parquet")
    read, same = read_devices(tmp_path / "phones.parquet"), read_devices(trace(tmp_path))
    assert (read.columns, read.weights) == (same.columns, same.weights)
    assert read.weights == (0.25, 0.75)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["phones.csv is empty; expected a header row"]),
        ("device,weight\na,1\n", ["phones.csv:1: has no measurements of a device"]),
        ("seconds_per_task\n", ["phones.csv has no rows"]),
        (
            "seconds_per_sampel,upload_latency\n1,2\n",
            ["phones.csv:1: unknown column 'seconds_per_sampel'"],
        ),
        (
            "seconds_per_task,seconds_per_step\n1,2\n",
            ["phones.csv:1: has seconds_per_task and seconds_per_step"],
        ),
        ("upload_latency,upload_latency\n1,2\n", ["phones.csv:1: column 'upload_latency' twice"]),
        (
            "seconds_per_task,upload_bandwidth\n1,5\n\nfast,0\n2\n-1,inf\n,3\n",
            [
                "phones.csv:4: seconds_per_task is 'fast'; expected a finite number, 0 or more",
                "phones.csv:4: upload_bandwidth is '0'; expected a finite number above 0",
                "phones.csv:5: 1 cell; expected 2, as in the header",
                "phones.csv:6: seconds_per_task is '-1'; expected a finite number, 0 or more",
                "phones.csv:6: upload_bandwidth is 'inf'; expected a finite number above 0",
                "phones.csv:7: seconds_per_task is ''; expected a finite number, 0 or more",
            ],
        ),
        ("weight,seconds_per_task\n0,1\n", ["phones.csv:2: weight is '0'"]),
    ],
)
def test_mistakes_are_named_by_file_and_line(
    text: str, messages: list[str], tmp_path: Path
) -> None:
    with pytest.raises(TableProblems) as found:
        read_devices(trace(tmp_path, text))
    assert len(found.value.messages) == len(messages)
    for said, wanted in zip(found.value.messages, messages, strict=True):
        assert wanted in said


def test_of_very_many_mistakes_the_first_are_named(tmp_path: Path) -> None:
    with pytest.raises(TableProblems) as found:
        read_devices(trace(tmp_path, "seconds_per_task\n" + "x\n" * 500))
    assert len(found.value.messages) == 21
    assert found.value.messages[-1].endswith("and 480 more mistakes")


def test_a_misspelt_column_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(TableProblems, match="did you mean 'seconds_per_sample'"):
        read_devices(trace(tmp_path, "seconds_per_sampel\n1\n"))


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, content, message in (
        ("missing.csv", None, "there is no file"),
        ("latin.csv", b"seconds_per_task\n\xff\n", "not UTF-8"),
        ("broken.parquet", b"PAR1 no", "not readable as Parquet"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(TableProblems, match=message):
            read_devices(tmp_path / name)
    with pytest.raises(TableProblems, match="is a folder"):
        read_devices(tmp_path)


SCENARIO = """\
clients:
  count: {count}
  devices: {{trace: phones.csv, by: {by}}}
strategy: {{kind: fedasync, concurrency: 1}}
stop: {{updates: 3}}
"""


def test_a_scenario_names_its_traces_mistakes_and_its_own(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(SCENARIO.format(count=3, by="client"))
    trace(tmp_path)
    with pytest.raises(ScenarioError, match=r"fleet\.yaml:3: .*2 devices, but clients\.count is 3"):
        load_scenario(file)
    trace(tmp_path, "seconds_per_task\n-1\nx\n")
    with pytest.raises(ScenarioError) as found:
        load_scenario(file)
    lines = str(found.value).splitlines()
    assert len(lines) == 2
    assert "phones.csv:2: seconds_per_task" in lines[0]
    assert "phones.csv:3: seconds_per_task" in lines[1]


def test_a_trace_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(SCENARIO.format(count=2, by="sample"))
    trace(tmp_path)
    resolved = load_scenario(file).clients.devices
    assert resolved is not None
    again = json.loads(resolved.model_dump_json())
    assert set(again) == {"trace", "by", "sha256"}
    scenario(2, fleet={"devices": again})
    trace(tmp_path, PHONES.replace("10", "11"))
    with pytest.raises(ValidationError, match="has changed"):
        scenario(2, fleet={"devices": again})


def test_a_resolved_scenario_keeps_the_units_and_the_numbering_of_its_devices(
    tmp_path: Path,
) -> None:
    trace(tmp_path, "client,seconds_per_task,upload_bandwidth\n9,9,8\n3,1500,16\n")
    devices = {
        "trace": str(tmp_path / "phones.csv"),
        "by": "client",
        "factor": {"seconds_per_task": 0.001, "upload_bandwidth": 125},
        "number_clients": "in_order",
    }
    built = scenario(2, fleet={"devices": devices})
    again = scenario(2, fleet={"devices": json.loads(built.clients.devices.model_dump_json())})
    for each in (built, again):
        assert each.clients.devices.devices.columns == {
            "seconds_per_task": (1.5, 0.009),
            "upload_bandwidth": (2000, 1000),
        }
    assert scenario_id(built) == scenario_id(again)
    assert scenario_id(scenario(2, fleet={"devices": {**devices, "factor": {}}})) != scenario_id(
        built
    )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            "by: sample, number_clients: in_order",
            "3: clients.devices.number_clients: needs by: client",
        ),
        ("by: client, number_clients: in_order", "3: clients.devices.number_clients: "),
        ("by: client, factor: 2", "3: clients.devices.factor: got 2; expected a block of keys"),
        (
            "by: client, factor: {seconds_per_taks: 2}",
            "3: clients.devices.factor.seconds_per_taks: ",
        ),
        (
            "by: client, factor: {upload_latency: -1}",
            "3: clients.devices.factor.upload_latency: got -1; expected more than 0",
        ),
    ],
)
def test_keys_beside_a_trace_are_told_by_their_name(keys: str, told: str, tmp_path: Path) -> None:
    trace(tmp_path)
    file = tmp_path / "fleet.yaml"
    file.write_text(SCENARIO.format(count=2, by="any").replace("by: any", keys))
    with pytest.raises(ScenarioError) as found:
        load_scenario(file)
    (line,) = str(found.value).splitlines()
    assert line.startswith(f"{file}:{told}")


def test_a_trace_may_be_named_alone(tmp_path: Path) -> None:
    built = scenario(3, fleet={"devices": str(trace(tmp_path))})
    assert (
        built.clients.devices
        == scenario(
            3, fleet={"devices": {"trace": str(trace(tmp_path)), "by": "sample"}}
        ).clients.devices
    )
    file = tmp_path / "fleet.yaml"
    file.write_text(
        SCENARIO.replace("{{trace: phones.csv, by: {by}}}", "fones.csv").format(count=2)
    )
    with pytest.raises(
        ScenarioError, match=r"fleet\.yaml:3: clients\.devices\S*: there is no file"
    ):
        load_scenario(file)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.binary(max_size=80))
def test_whatever_a_file_holds_it_is_read_or_refused_with_its_name(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "x.csv"
    start = b"seconds_per_task,weight\n"
    body = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    for whole in (body, start + body):
        file.write_bytes(whole)
        try:
            assert len(read_devices(file)) > 0
        except TableProblems as problems:
            refused = problems.messages
        else:
            refused = [str(file)]
        assert all(str(file) in message for message in refused)
