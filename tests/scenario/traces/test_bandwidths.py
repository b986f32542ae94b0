"""Traces of bandwidth: what the file says, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from afl_sim.run.api import load_scenario
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import scenario_id
from afl_sim.scenario.checks.doubts import doubts
from afl_sim.scenario.dumping import dump_scenario
from afl_sim.scenario.loading import read_study
from afl_sim.scenario.sections.network import Link
from afl_sim.scenario.traces.bandwidths import BandwidthColumns, read_bandwidths
from afl_sim.scenario.traces.tables import TableProblems

GOOD = "start,end,bandwidth\n0,2,1000\n2,5,0\n5,10,500\n"


def table(folder: Path, text: str = GOOD) -> Path:
    file = folder / "links.csv"
    file.write_text(text, encoding="utf-8")
    return file


def read(folder: Path, text: str, **how: Any) -> list[tuple[list[int], list[float]]]:
    links, _ = read_bandwidths(table(folder, text), BandwidthColumns(**how))
    return [(link.ends_us.tolist(), link.rates.tolist()) for link in links]


def test_a_file_has_the_pieces_of_one_link(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == [([2_000_000, 5_000_000, 10_000_000], [1000, 0, 500])]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("start_ms,end_ms,bandwidth_kbit_per_s\n0,1500,9\n", {}),
        ("start,end,uplink_Mbps\n0,1.5,0.009\n", {}),
        ("start,end,x\n0,1.5,9\n", {"factor": 125}),
        ("start,end,down,up\n0,1.5,7,1125\n", {"column": "up"}),
    ],
)
def test_the_names_of_columns_say_the_units(tmp_path: Path, text: str, how: dict[str, Any]) -> None:
    assert read(tmp_path, text, **how) == [([1_500_000], [1125])]


def test_links_are_told_apart_by_a_column_and_may_be_interleaved(tmp_path: Path) -> None:
    text = "link,start,end,bandwidth\nb,0,1,5\na,0,3,7\nb,1,2,6\n"
    expected = [([1_000_000, 2_000_000], [5, 6]), ([3_000_000], [7])]
    assert read(tmp_path, text) == expected
    assert read(tmp_path, text.replace("link", "client")) == expected  # drawn from, in any order


def test_the_links_of_clients_are_in_the_order_of_the_clients(tmp_path: Path) -> None:
    text = "client,start,end,bandwidth\n1,0,1,5\n0,0,3,7\n"
    assert read(tmp_path, text, by="client") == [([3_000_000], [7]), ([1_000_000], [5])]
    named = "client,start,end,bandwidth\nbert,0,1,5\nanna,0,3,7\n"
    assert read(tmp_path, named, by="client") == [([3_000_000], [7]), ([1_000_000], [5])]
    counted = "client,start,end,bandwidth\n2,0,1,5\n1,0,3,7\n"
    assert read(tmp_path, counted, by="client", number_clients="in_order")[0] == ([3_000_000], [7])


def test_a_parquet_file_is_the_same_table(tmp_path: Path) -> None:
    file = tmp_path / "links.parquet"
    pq.write_table(pa.table({"start": [0.0, 2.0], "end": [2.0, 3.0], "bandwidth": [10, 20]}), file)
    links, _ = read_bandwidths(file)
    assert links[0].rates.tolist() == [10, 20]
    assert links[0].mean == pytest.approx(40 / 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "start,end,bandwidth\n0,2,1\n3,4,1\n",
            ":3: a gap: start is 3, but line 2 ends at 2; expected a row for all times, with a "
            "bandwidth of 0 where nothing passes",
        ),
        ("start,end,bandwidth\n0,2,1\n1,4,1\n", ":3: start 1 is before 2, the end of line 2"),
        (
            "start,end,bandwidth\n0,2,1\n2,3,1\n1,2,1\n",
            ":4: start 1 comes after 2 in line 3; expected the rows of a link in the order of time",
        ),
        ("start,end,bandwidth\n5,6,1\n", ":2: start is 5, in the first row of its link; expected"),
        ("start,end,bandwidth\n0,2,-1\n", ":2: bandwidth is '-1'; expected a finite number, 0 or"),
        ("start,end,bandwidth\n0,2,nan\n", ":2: bandwidth is 'nan'; expected a finite number"),
        ("start,end,bandwidth\n2,2,1\n", ":2: end 2 is not after start 2"),
        ("start,end,bandwidth\n0,1e-9,1\n", ":2: lasts less than a microsecond"),
        ("start,end,bandwidth\n0,1,1e-9\n", ":2: 1e-09 bytes per second; expected 0, or at least"),
        ("start,end,bandwidth\n0,2,0\n2,3,0\n", ":3: the bandwidth is 0 in all rows; expected"),
        (
            "link,start,end,bandwidth\na,0,2,1\nb,0,2,0\n",
            ":3: the bandwidth of link b is 0 in all rows",
        ),
        ("link,start,end,bandwidth\n,0,2,1\n", ":2: link is ''; expected the name of a link"),
        ("start,end,bandwidth\n", " has no rows"),
        ("", " is empty; expected a header row"),
        ("start,bandwidth\n0,1\n", ":1: no column 'end'; the file has start, bandwidth"),
        ("start,end\n0,1\n", ":1: no column of bandwidths beside start, end; expected one, such"),
        ("start,end,start_ms,bandwidth\n0,1,0,1\n", ""),
        ("1\n1\n3\n", "It looks like a Mahimahi trace"),
        ("start;end;bandwidth\n0;1;1\n", ":1: the cells are separated by semicolons"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    if not message:
        with pytest.raises(TableProblems, match="missing"):  # of two columns none is named
            read(tmp_path, text)
        return
    with pytest.raises(TableProblems) as problems:
        read(tmp_path, text)
    (told,) = problems.value.messages
    assert message in told
    assert told.startswith(str(tmp_path / "links.csv"))


def test_all_mistakes_are_told_at_once_and_none_because_of_another(tmp_path: Path) -> None:
    with pytest.raises(TableProblems) as problems:
        read(tmp_path, "start,end,bandwidth\n0,2,x\n2,1,5\n4,5,1\n6,7,1\n")
    places = [message.split(":")[1] for message in problems.value.messages]
    assert places == ["2", "3", "5"]


@pytest.mark.parametrize(
    ("how", "text", "message"),
    [
        ({"after_end": "hold"}, "start,end,bandwidth\n0,1,5\n1,2,0\n", "the last bandwidth is 0"),
        ({"by": "client"}, GOOD, "no column 'client'"),
        ({"by": "client"}, "client,start,end,bandwidth\n0,0,1,1\n2,0,1,1\n", "have? no row|has no"),
        ({"number_clients": "in_order"}, GOOD, "needs by: client"),
        ({"column": "bandwith"}, GOOD, "did you mean 'bandwidth'"),
        ({}, "start,end,a,b\n0,1,2,3\n", "missing; .* has start, end, a, b"),
        ({}, "link,client,start,end,bandwidth\na,0,0,1,2\n", "has link and client"),
    ],
)
def test_keys_that_do_not_suit_the_file_are_refused(
    tmp_path: Path, how: dict[str, Any], text: str, message: str
) -> None:
    with pytest.raises(TableProblems, match=message):
        read(tmp_path, text, **how)


def scenario_file(folder: Path, network: str, more: str = "") -> Path:
    file = folder / "fleet.yaml"
    file.write_text(
        "model: {kind: logistic}\n"
        f"clients:\n  count: 3\n  network:\n    upload: {network}\n{more}"
        "strategy: {kind: fedasync, concurrency: 2}\nstop: {updates: 3}\n",
        encoding="utf-8",
    )
    return file


def test_a_link_has_one_way_to_say_its_bandwidth(tmp_path: Path) -> None:
    trace = {"trace": str(table(tmp_path))}
    with pytest.raises(ValidationError, match="has both bandwidth and bandwidth_trace"):
        Link.model_validate({"bandwidth": 5, "bandwidth_trace": trace})


@pytest.mark.parametrize(
    ("text", "keys", "more", "message"),
    [
        (
            GOOD.replace("start", "client,start").replace("\n", "\n0,").removesuffix("0,"),
            ", by: client",
            "",
            "fleet.yaml:5: clients.network.upload.bandwidth_trace.trace: {folder}/links.csv has "
            "the links of 1 clients, but clients.count is 3; expected a link for each client, or "
            "by: sample",
        ),
        (
            GOOD,
            "",
            "  devices: {trace: phones.csv}\n",
            "fleet.yaml:5: clients.network.upload.bandwidth_trace: the devices of "
            "{folder}/phones.csv have a column upload_bandwidth, too; expected one of the two",
        ),
        (
            GOOD.replace("2,5", "3,5"),
            "",
            "",
            "fleet.yaml:5: clients.network.upload.bandwidth_trace.trace: {folder}/links.csv:3: a "
            "gap: start is 3, but line 2 ends at 2",
        ),
    ],
)
def test_a_scenario_with_a_wrong_trace_is_refused_with_its_line(
    tmp_path: Path, text: str, keys: str, more: str, message: str
) -> None:
    table(tmp_path, text)
    (tmp_path / "phones.csv").write_text("upload_bandwidth\n5\n")
    file = scenario_file(tmp_path, f"{{bandwidth_trace: {{trace: links.csv{keys}}}}}", more)
    with pytest.raises(Exception, match="bandwidth_trace") as error:
        load_scenario(file)
    assert message.format(folder=tmp_path) in str(error.value)


def test_a_bandwidth_in_another_unit_than_meant_is_doubted(tmp_path: Path) -> None:
    table(tmp_path, "start,end,bandwidth\n0,1,3\n")
    file = scenario_file(tmp_path, "{bandwidth_trace: links.csv}")
    (line,) = doubts(read_study(file, catalogue()), timing_only=True)
    assert "clients.network.upload.bandwidth_trace: 3 bytes per second is below 1 kB/s" in line


def test_the_content_of_the_file_belongs_to_the_identity_and_not_its_place(tmp_path: Path) -> None:
    ids = set()
    for folder, text in (("a", GOOD), ("b", GOOD), ("c", GOOD.replace("500", "501"))):
        (tmp_path / folder).mkdir()
        table(tmp_path / folder, text)
        built = load_scenario(
            scenario_file(tmp_path / folder, "{bandwidth_trace: {trace: links.csv}}")
        )
        ids.add(scenario_id(built))
        again = tmp_path / folder / "again.yaml"
        again.write_text(dump_scenario(built))
        assert scenario_id(load_scenario(again)) == scenario_id(built)
    assert len(ids) == 2


def test_a_file_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path)
    again = tmp_path / "again.yaml"
    again.write_text(
        dump_scenario(load_scenario(scenario_file(tmp_path, "{bandwidth_trace: links.csv}")))
    )
    file.write_text(GOOD + "10,11,3\n")
    with pytest.raises(Exception, match=r"links\.csv has changed"):
        load_scenario(again)


def test_a_link_without_a_trace_is_written_as_before() -> None:
    assert "bandwidth_trace" not in json.loads(Link().model_dump_json())
