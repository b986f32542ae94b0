"""Reading run folders: whole, unfinished and damaged."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_runs import fake_run
from pandas.testing import assert_frame_equal

from afl_sim import load_study
from afl_sim.errors import RunFolderError
from afl_sim.recording import RunFolder, load_run, load_runs, write_partition
from afl_sim.recording.event_table import COLUMNS, to_frame
from afl_sim.recording.parquet import first_rows
from afl_sim.recording.study_index import not_begun


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "whole", updates=60).path


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def test_who_holds_which_samples_is_read_back(folder):
    counts = np.array([[3, 0, 1], [0, 5, 0]])
    write_partition(folder / "partition.parquet", counts)
    read = load_run(folder).label_counts
    assert read.index.tolist() == [0, 1]
    assert read.columns.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(read.to_numpy(), counts)
    (folder / "partition.parquet").unlink()
    assert load_run(folder).label_counts.empty


def test_a_whole_run_reads_into_tables(folder):
    run = load_run(folder)
    assert run.status == "complete"
    assert run.strategy == "fedbuff"
    assert run.targets == (0.9, 0.95)
    assert run.name == run.label == "fake-fedbuff"
    assert list(run.events.columns) == ["seq", *COLUMNS, "context"]
    aggregated = run.events[run.events["kind"] == "aggregated"]
    assert len(aggregated) == run.summary["updates"]["aggregated"]
    expected = aggregated["version"] - 1 - aggregated["base_version"]
    assert (aggregated["staleness"] == expected).all()
    assert run.metrics["accuracy"].iloc[-1] == run.summary["final"]["accuracy"]
    assert run.events is run.events
    assert run.model()["weight"].shape == (4,)
    assert load_run(str(folder)).scenario["strategy"] == {"kind": "fedbuff"}


def test_metrics_of_an_older_folder_have_no_status_and_read_as_sound(folder):
    table = pq.read_table(folder / "metrics.parquet").drop_columns("status")
    pq.write_table(table, folder / "metrics.parquet")
    run = load_run(folder)
    assert set(run.metrics["status"]) == {"ok"}
    assert len(run.evaluations) == len(run.metrics) > 0


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux to count threads")
def test_reading_a_run_starts_no_threads(folder):
    code = f"""
import os
import pandas, pyarrow.parquet
from afl_sim.recording import load_run
before = len(os.listdir("/proc/self/task"))
run = load_run({str(folder)!r})
run.metrics, run.events, run.label_counts, run.tasks, run.event_columns("seq")
print(len(os.listdir("/proc/self/task")) - before)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "0\n"


@pytest.mark.parametrize("count", [0, 1, 50, 10_000])
def test_the_first_events_are_read_without_the_others(folder, count):
    run = load_run(folder)
    assert run.event_count == len(run.events) > 50
    parts = list(first_rows(run.event_tables(*run.events.columns, rows=40), count))
    assert max(map(len, parts), default=0) <= 40
    assert len(parts) == -(-min(count, run.event_count) // 40)
    if parts:
        assert_frame_equal(to_frame(pa.concat_tables(parts)), run.events[:count])


def test_columns_of_the_events_are_read_alone_and_not_kept(folder):
    run = load_run(folder)
    names = [["time_us", "kind", "staleness"], ["context"], ["client", "seq"]]
    found = [run.event_columns(*some) for some in names]
    assert "events" not in vars(run)
    for some, columns in zip(names, found, strict=True):
        assert_frame_equal(columns, run.events[some])
        assert_frame_equal(run.event_columns(*some), run.events[some])


def test_a_run_cannot_be_changed(folder):
    with pytest.raises(AttributeError):
        load_run(folder).name = "other"


def test_a_run_that_has_not_ended_loads_with_what_is_there(tmp_path):
    folder = RunFolder.create(tmp_path / "a", "name: a\nstrategy: {kind: fedavg}\n", {})
    run = load_run(folder.path)
    assert run.status == "unfinished"
    assert run.summary == {}
    with pytest.raises(
        RunFolderError, match=r"events\.parquet is missing: the run is unfinished; `afl-sim resume"
    ):
        _ = run.events
    with pytest.raises(RunFolderError, match=r"metrics\.parquet is missing"):
        _ = run.metrics
    with pytest.raises(RunFolderError, match=r"model\.safetensors is missing"):
        run.model()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("scenario.yaml", None, "has no scenario.yaml"),
        ("scenario.yaml", b"a: [", "not valid YAML"),
        ("scenario.yaml", b"- 1\n", "expected a mapping, found a list"),
        ("scenario.yaml", b"", "expected a mapping, found nothing"),
        ("scenario.yaml", b"\xff\xfe\x00", "not UTF-8"),
        ("manifest.json", None, "manifest.json is missing"),
        ("manifest.json", b"{", "not JSON"),
        ("summary.json", b'{"name": 1', "not JSON"),
        ("summary.json", b"[]", "expected an object, found a list"),
        ("summary.json", b"{}", "lacks name, status"),
        ("summary.json", b"[" * 100_000, "not JSON"),
        ("events.parquet", None, "events.parquet is missing: the run"),
        ("events.parquet", b"", "events.parquet is damaged"),
        ("events.parquet", b"PAR1 but not really", "events.parquet is damaged"),
        ("metrics.parquet", None, "metrics.parquet is missing"),
        ("metrics.parquet", b"junk", "metrics.parquet is damaged"),
    ],
)
def test_a_damaged_file_is_named(folder, name, content, says):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(RunFolderError, match=says.replace(".", r"\.")) as caught:
        load_run(folder)
    assert caught.value.exit_code == 2
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_event_file_is_damaged(folder):
    content = (folder / "events.parquet").read_bytes()
    (folder / "events.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(RunFolderError, match=r"events\.parquet is damaged"):
        load_run(folder)


def test_rows_that_rot_under_a_whole_footer_are_found_on_reading(folder):
    content = bytearray((folder / "events.parquet").read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    (folder / "events.parquet").write_bytes(content)
    run = load_run(folder)
    with pytest.raises(RunFolderError, match=r"events\.parquet is damaged"):
        _ = run.events


def test_tables_of_another_kind_are_damaged(folder):
    shutil.copy(folder / "metrics.parquet", folder / "events.parquet")
    with pytest.raises(RunFolderError, match=r"lacks the columns seq, kind, client"):
        load_run(folder)


def test_a_damaged_model_is_named(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(RunFolderError, match=r"model\.safetensors is damaged"):
        load_run(folder).model()


def test_a_path_that_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run folder"):
        load_run(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="it is a file"):
        load_run(tmp_path / "file")
    with pytest.raises(RunFolderError, match=r"has no scenario\.yaml"):
        load_run(tmp_path)
    with pytest.raises(RunFolderError, match="not a study"):
        load_study(tmp_path)


def test_runs_and_studies_load_mixed_and_once_each(whole, tmp_path):
    for label in ("b", "a"):
        shutil.copytree(whole, tmp_path / "study" / label)
    (tmp_path / "study" / "study.json").write_text(json.dumps({"name": "s", "runs": ["b", "a"]}))
    shutil.copytree(whole, tmp_path / "alone")
    runs = load_runs([tmp_path / "study", tmp_path / "alone", tmp_path / "study" / "a"])
    assert [run.path.name for run in runs] == ["b", "a", "alone"]
    assert [run.label for run in runs] == ["b", "a", "fake-fedbuff"]
    with pytest.raises(RunFolderError, match=r"is a study: name one of its runs \(b, a\)"):
        load_run(tmp_path / "study")


def test_the_runs_that_a_study_has_not_begun_are_known(whole, tmp_path):
    for label in ("b", "d"):
        shutil.copytree(whole, tmp_path / "study" / label)
    index = {"runs": ["a", "b", "\x1b[2Jc", "a"]}
    (tmp_path / "study" / "study.json").write_text(json.dumps(index))
    assert not_begun([tmp_path / "study", whole, tmp_path / "study"]) == ["a", "\\x1b[2Jc"]
    assert not_begun([tmp_path / "study" / "b"]) == []


def test_a_study_with_a_damaged_index_says_so(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "study" / "a")
    (tmp_path / "study" / "study.json").write_text('{"runs": 3}')
    with pytest.raises(RunFolderError, match=r"study\.json is damaged"):
        load_runs([tmp_path / "study"])


def test_a_study_that_has_not_begun_says_so(tmp_path):
    (tmp_path / "study.json").write_text('{"name": "s", "runs": ["a"]}')
    with pytest.raises(RunFolderError, match="no run has begun"):
        load_runs([tmp_path])


def test_a_label_holds_nothing_that_a_terminal_would_obey(folder):
    manifest = json.loads((folder / "manifest.json").read_text()) | {"label": "a\n\x1b[31mb"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert load_run(folder).label == r"a\n\x1b[31mb"
