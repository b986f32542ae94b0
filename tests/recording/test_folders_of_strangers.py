"""Whatever the small files of a run folder say, a command works or refuses in one line."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fake_runs import fake_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from afl_sim.analysis.compare import print_comparison
from afl_sim.analysis.series import client_count
from afl_sim.analysis.theory import mean_staleness
from afl_sim.cli.studies import outcome_line
from afl_sim.errors import RunFolderError
from afl_sim.recording import load_run, load_runs
from afl_sim.recording.diff import first_divergence
from afl_sim.recording.diff_text import format_divergence
from afl_sim.recording.event_table import to_frame
from afl_sim.recording.study_index import not_begun
from afl_sim.study.case import Outcome

FILES: dict[str, tuple[Callable[[str], Any], Callable[[Any], str]]] = {
    "summary.json": (json.loads, json.dumps),
    "manifest.json": (json.loads, json.dumps),
    "scenario.yaml": (yaml.safe_load, yaml.safe_dump),
    "study.json": (json.loads, json.dumps),
}
JUNK = (
    *(None, True, -1, 0, 7, 2.5, -0.1, 10**30, 1e308, float("nan"), float("inf")),
    *("", "x", "0.9", "\ud800", "\x1b[2J", "all", [], {}, [1], ["x"], [[]], {"kind": 3}),
    *({"0.9": 3}, {"nan": 1.0}, {"count": "many"}, {"targets": ["x"]}),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for seed, label in enumerate(("a", "b")):
        run = fake_run(folder / label, updates=20, seed=seed).path
        scenario = yaml.safe_load((run / "scenario.yaml").read_text())
        scenario["clients"]["availability"] = {"kind": "always"}
        scenario["strategy"] |= {"concurrency": 10, "buffer_size": 5}
        scenario["server"] = {"upload": {"kind": "fifo", "slots": 2}, "download": {"kind": "none"}}
        scenario["training"] = {"epochs": 1}
        (run / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    (folder / "study.json").write_text(json.dumps({"name": "s", "runs": ["a", "b", "c"]}))
    return folder


def places(content: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [so_far]
    entries = content.items() if isinstance(content, dict) else []
    if isinstance(content, list):
        entries = list(enumerate(content))
    for key, value in entries:
        found += places(value, (*so_far, key))
    return found


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The document with another value there, or without that entry where it is `del`."""
    if not place:
        return {} if value is del_ else value
    content = copy.deepcopy(content)
    block = content
    for key in place[:-1]:
        block = block[key]
    if value is del_:
        del block[place[-1]]
    else:
        block[place[-1]] = value
    return content


del_ = object()


def look_at_everything(folder: Path) -> None:
    """What `compare`, `diff`, `run` and the report's first lines read of two runs."""
    runs = load_runs([folder])
    console = Console(file=io.StringIO(), width=100)
    print_comparison(runs, console=console, not_begun=not_begun([folder]))
    for run in runs:
        line = outcome_line(Outcome.of(run.label, run))
        assert line.isprintable()
        client_count(run)
        mean_staleness(run)
        assert run.strategy.isprintable()
        assert all(0 <= target <= 1 for target in run.targets)
    format_divergence(first_divergence(runs[0], runs[-1]))


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_folder_with_other_values_is_read_or_refused_in_one_line(
    study: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    path = study / name if name == "study.json" else study / "a" / name
    read, write = FILES[name]
    before = path.read_text()
    content = read(before)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(content)))
        content = changed(content, place, data.draw(st.sampled_from((*JUNK, del_))))
    refused = None
    try:
        path.write_text(write(content), errors="surrogateescape")
        look_at_everything(study)
    except RunFolderError as error:
        refused = str(error)
    finally:
        path.write_text(before)
    if refused is not None:
        assert name in refused or str(study) in refused
        assert "\n" not in refused
        assert refused.isprintable()


@pytest.mark.parametrize(
    ("name", "key", "value", "says"),
    [
        ("summary.json", "status", "fine", "expected one of complete, interrupted, diverged"),
        ("summary.json", "versions", "x", "versions: got 'x'; expected a whole number"),
        ("summary.json", "versions", -1, "versions: got -1; expected 0 or more"),
        ("summary.json", "virtual_seconds", None, "virtual_seconds: got nothing; expected a numb"),
        ("summary.json", "virtual_seconds", float("nan"), "expected a finite number"),
        ("summary.json", "updates", [], "updates: got an empty list; expected a block of keys"),
        ("summary.json", "updates", {"aggregated": True}, "updates.aggregated: got true; expected"),
        ("summary.json", "final", {"accuracy": 90}, "final.accuracy: got 90; expected at most 1"),
        ("summary.json", "time_to_accuracy", {"x": 1.0}, "summary.json is damaged: time_to_acc"),
        ("summary.json", "time_to_accuracy", {"0.9": "x"}, "got 'x'; expected a number"),
        ("summary.json", "wall_seconds", {"total": "x"}, "wall_seconds.total: got 'x'"),
        ("manifest.json", "timing_only", "no", "timing_only: got 'no'; expected true or false"),
        ("manifest.json", "resumed", 3, "resumed: got 3; expected a list"),
        ("scenario.yaml", "clients", {"count": "many"}, "clients.count: got 'many'; expected a wh"),
        ("scenario.yaml", "clients", {"count": -1}, "clients.count: got -1; expected"),
        ("scenario.yaml", "evaluation", {"targets": ["x"]}, "evaluation.targets.0: got 'x'"),
        ("scenario.yaml", "strategy", {"kind": 3}, "strategy.kind: got 3; expected text"),
        ("scenario.yaml", "server", {"upload": {"slots": "x"}}, "server.upload.slots: got 'x'"),
        ("study.json", "runs", {"a": 1}, "study.json is damaged: runs: got a block"),
        ("study.json", "runs", ["a", 3], "study.json is damaged: runs.1: got 3; expected text"),
    ],
)
def test_a_wrong_value_is_named_with_its_file_and_key(
    study: Path, tmp_path: Path, name: str, key: str, value: Any, says: str
) -> None:
    folder = shutil.copytree(study, tmp_path / "study")
    path = folder / name if name == "study.json" else folder / "a" / name
    read, write = FILES[name]
    path.write_text(write({**read(path.read_text()), key: value}))
    with pytest.raises(RunFolderError, match=re.escape(says)) as caught:
        load_runs([folder])
    assert f"{path} is damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: &a [x]\n" + "b: [*a, *a]\n" * 3, "written twice"),
        (
            "\n".join(
                f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(9)
            ),
            "aliases expand to more than 100,000 values",
        ),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        ("a: !!python/object:os.system x", "is not supported here"),
        ("a: '" + "x" * (17 << 20) + "'", "it is larger than 16 MiB"),
    ],
    ids=["twice", "aliases", "depth", "tag", "size"],
)
def test_a_scenario_has_the_limits_of_one_that_is_to_be_run(
    study: Path, tmp_path: Path, content: str, says: str
) -> None:
    folder = shutil.copytree(study / "a", tmp_path / "run")
    (folder / "scenario.yaml").write_text(content)
    with pytest.raises(RunFolderError, match=r"scenario\.yaml is damaged") as caught:
        load_run(folder)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["summary.json", "manifest.json", "scenario.yaml", "events.parquet", "model.safetensors"],
)
def test_what_is_no_regular_file_is_not_waited_for(study: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(study / "a", tmp_path / "run")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(RunFolderError, match=f"{name} is damaged: it is not a regular file"):
        load_run(folder).model()


def rewritten(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(folder / name)), folder / name)


def with_column(name: str, values: Callable[[pa.ChunkedArray], Any]) -> Callable[..., pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        return table.set_column(place, name, pa.array(values(table.column(name))))

    return change


def twice(table: pa.Table) -> pa.Table:
    return table.append_column("seq", table.column("seq"))


EVENTS, METRICS, PARTITION = "events.parquet", "metrics.parquet", "partition.parquet"


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (EVENTS, with_column("time_us", lambda c: ["x"] * len(c)), "time_us is string; expected"),
        (EVENTS, with_column("time_us", lambda c: [0.5] * len(c)), "time_us is double; expected"),
        (EVENTS, with_column("kind", lambda c: [1] * len(c)), "kind is int64; expected"),
        (EVENTS, with_column("client", lambda c: [[1]] * len(c)), "expected int64"),
        (EVENTS, with_column("time_us", lambda c: [None, *c[1:]]), "values are missing in time_us"),
        (
            EVENTS,
            with_column("client", lambda c: [40] * len(c)),
            "it has a client 40, but there are 40",
        ),
        (
            EVENTS,
            with_column("client", lambda c: [-7] * len(c)),
            "it has a client -7, but there are 40",
        ),
        (EVENTS, twice, "it has two columns seq"),
        (METRICS, with_column("accuracy", lambda c: [True] * len(c)), "accuracy is bool; expected"),
        (METRICS, with_column("class_accuracy", lambda c: [0.5] * len(c)), "class_accuracy is do"),
        (
            METRICS,
            with_column("class_accuracy", lambda c: [[0.5], *c.to_pylist()[1:]]),
            "evaluations have different numbers of classes",
        ),
        (
            PARTITION,
            with_column("labels", lambda c: [[1], *c.to_pylist()[1:]]),
            "labels of clients differ in",
        ),
        (PARTITION, with_column("labels", lambda c: [[None] * 10] * len(c)), "or are missing"),
        (PARTITION, lambda t: pa.concat_tables([t] * 51), "it has 2,040 rows; expected at most"),
    ],
)
def test_a_table_of_other_kinds_of_values_is_refused(
    study: Path, tmp_path: Path, name: str, change: Callable[..., pa.Table], says: str
) -> None:
    folder = shutil.copytree(study / "a", tmp_path / "run")
    rewritten(folder, name, change)
    with pytest.raises(RunFolderError, match=re.escape(says)) as caught:
        look_at_tables(folder)
    assert f"{name} is damaged" in str(caught.value)


def look_at_tables(folder: Path) -> None:
    run = load_run(folder)
    assert len(run.events) > 0
    assert len(run.metrics) > 0
    assert len(run.label_counts) > 0


def test_a_table_that_another_tool_has_written_anew_is_read(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study / "a", tmp_path / "run")
    before = load_run(folder).events
    narrow = {"task": "int32", "version": "int16", "client": "int16", "staleness": "int32"}

    def change(table: pa.Table) -> pa.Table:
        for name, kind in narrow.items():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table.column(name).cast(kind))
        kinds = table.column("kind").cast(pa.large_string())
        table = table.set_column(table.schema.get_field_index("kind"), "kind", kinds)
        return table.append_column("mine", table.column("seq")).select(
            ["mine", *reversed(table.column_names)]
        )

    rewritten(folder, EVENTS, change)
    events = load_run(folder).events
    assert events.astype(before.dtypes.to_dict()).equals(before)
    first, *_ = load_run(folder).event_tables(*before.columns, rows=5)
    assert to_frame(first)["kind"].tolist() == before["kind"][:5].tolist()
    assert load_run(folder).event_columns("kind")["kind"].tolist() == before["kind"].tolist()


def test_a_log_that_does_not_fit_in_memory_says_so(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afl_sim.recording.parquet.physical_memory", lambda: 1000)
    run = load_run(study / "a")
    with pytest.raises(RunFolderError, match=r"rows, more than this machine's memory can hold"):
        _ = run.events
    assert sum(len(part["time_us"]) for part in run.event_batches("time_us")) == run.event_count


def test_names_of_a_stranger_do_nothing_to_a_terminal(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study / "a", tmp_path / "run")
    for name, key in (("scenario.yaml", "name"), ("manifest.json", "label")):
        read, write = FILES[name]
        content = {**read((folder / name).read_text()), key: "\x1b[2Jname\n"}
        (folder / name).write_text(write(content))
    run = load_run(folder)
    assert run.name == run.label == r"\x1b[2Jname\n"
