"""Making run folders, and what stands in the way of it."""

import errno
import fcntl
import json
import os
import shutil
import stat
import threading

import numpy as np
import pytest
import safetensors.numpy

from afl_sim import load_study
from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording import (
    RunFolder,
    StudyFolder,
    build_manifest,
    load_run,
    save_checkpoint,
)
from afl_sim.recording.files import replacing, write_json, write_text
from afl_sim.recording.locking import lock_of
from afl_sim.recording.manifest import git_commit


def test_a_run_folder_appears_with_scenario_and_manifest(tmp_path):
    folder = RunFolder.create(tmp_path / "runs" / "a", "name: a\n", {"package": "x"})
    assert sorted(entry.name for entry in folder.path.iterdir()) == [
        "manifest.json",
        "scenario.yaml",
    ]
    assert (folder.path / "scenario.yaml").read_text() == "name: a\n"
    assert json.loads((folder.path / "manifest.json").read_text()) == {"package": "x"}
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == ["a"]


def test_it_appears_by_rename_with_the_files_already_inside(tmp_path, monkeypatch):
    seen = {}
    rename = os.rename

    def watch(source, target):
        seen[os.fspath(target)] = sorted(os.listdir(source))
        rename(source, target)

    monkeypatch.setattr(os, "rename", watch)
    RunFolder.create(tmp_path / "a", "name: a\n", {})
    assert seen == {str(tmp_path / "a"): ["manifest.json", "scenario.yaml"]}


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "a").mkdir()
    RunFolder.create(tmp_path / "a", "name: a\n", {})
    assert (tmp_path / "a" / "scenario.yaml").exists()


def test_the_working_directory_is_filled_in_place(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inode = os.stat(".").st_ino
    folder = RunFolder.create(tmp_path / "here", "name: a\n", {})
    assert os.stat(tmp_path / "here").st_ino == inode
    assert sorted(os.listdir(".")) == ["manifest.json", "scenario.yaml"]
    assert os.listdir(tmp_path) == ["here"]
    folder.discard()
    assert os.listdir(tmp_path / "here") == []


def test_a_folder_that_cannot_be_replaced_is_filled_in_place(tmp_path, monkeypatch):
    def busy(source, target):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(os, "rename", busy)
    RunFolder.create(tmp_path / "mounted", "name: a\n", {})
    assert sorted(os.listdir(tmp_path / "mounted")) == ["manifest.json", "scenario.yaml"]
    assert os.listdir(tmp_path) == ["mounted"]


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty") as caught:
        RunFolder.create(tmp_path / "a", "name: a\n", {})
    assert caught.value.exit_code == 2
    assert os.listdir(tmp_path / "a") == ["notes.txt"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(RunFolderError, match="not a folder"):
        RunFolder.create(tmp_path / "a", "name: a\n", {})
    with pytest.raises(RunFolderError, match="a file with that name exists"):
        RunFolder.create(tmp_path / "a" / "b", "name: a\n", {})
    assert (tmp_path / "a").read_text() == "mine"


def test_two_runs_racing_for_one_folder_cannot_both_have_it(tmp_path, monkeypatch):
    rename = os.rename

    def slow(source, target):
        monkeypatch.setattr(os, "rename", rename)
        RunFolder.create(tmp_path / "a", "name: first\n", {})
        rename(source, target)

    monkeypatch.setattr(os, "rename", slow)
    with pytest.raises(RunFolderError, match="just made by another run"):
        RunFolder.create(tmp_path / "a", "name: second\n", {})
    assert (tmp_path / "a" / "scenario.yaml").read_text() == "name: first\n"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_parent_is_one_clear_sentence(tmp_path):
    parent = tmp_path / "locked"
    parent.mkdir(mode=0o500)
    with pytest.raises(RunFolderError, match=r"cannot make the folder .*: permission denied"):
        RunFolder.create(parent / "a", "name: a\n", {})


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EACCES, "permission denied"), (errno.EROFS, "read-only"), (errno.ENOSPC, "full")],
)
def test_what_the_system_refuses_is_said_in_words_and_leaves_nothing(
    tmp_path, monkeypatch, code, words
):
    def refuse(path, *args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RunFolderError, match=words) as caught:
        RunFolder.create(tmp_path / "new" / "a", "name: a\n", {})
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_discard_removes_the_folder_and_the_parents_it_made(tmp_path):
    folder = RunFolder.create(tmp_path / "x" / "y" / "a", "name: a\n", {})
    folder.write_model({"w": np.zeros(3, dtype=np.float32)})
    folder.discard()
    assert os.listdir(tmp_path) == []


def test_discard_keeps_what_was_there_before(tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "other").mkdir()
    folder = RunFolder.create(tmp_path / "runs" / "a", "name: a\n", {})
    folder.discard()
    assert sorted(os.listdir(tmp_path / "runs")) == ["a", "other"]
    assert os.listdir(tmp_path / "runs" / "a") == []
    RunFolder.create(tmp_path / "runs" / "b" / "c", "name: a\n", {}).discard()
    assert sorted(os.listdir(tmp_path / "runs")) == ["a", "other"]


def test_others_may_read_the_folder_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        folder = RunFolder.create(tmp_path / "a", "name: a\n", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o755


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    write_text(tmp_path / "summary.json", "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AflSimError, match=r"cannot write .*summary\.json: the disk is full"):
        write_text(tmp_path / "summary.json", "new")
    assert os.listdir(tmp_path) == ["summary.json"]
    assert (tmp_path / "summary.json").read_text() == "old"


def test_a_write_that_is_broken_off_leaves_nothing(tmp_path):
    def write():
        with replacing(tmp_path / "a.bin") as handle:
            handle.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert os.listdir(tmp_path) == []


def test_json_takes_numpy_numbers_and_writes_null_for_nan(tmp_path):
    content = {"a": np.float32(0.5), "b": np.int64(3), "c": float("nan"), "d": (1, np.arange(2))}
    write_json(tmp_path / "a.json", content)
    read = json.loads((tmp_path / "a.json").read_text())
    assert read == {"a": 0.5, "b": 3, "c": None, "d": [1, [0, 1]]}


def test_the_model_reads_back_bit_for_bit(tmp_path):
    folder = RunFolder.create(tmp_path / "a", "name: a\n", {})
    weights = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    folder.write_model({"w": weights.T, "b": np.zeros(2, dtype=np.float32)})
    model = load_run(folder.path).model()
    np.testing.assert_array_equal(model["w"], weights.T)
    assert model["b"].dtype == np.float32


def test_opening_a_folder_goes_on_where_it_is(tmp_path):
    RunFolder.create(tmp_path / "a", "name: a\n", {})
    RunFolder.open(tmp_path / "a").write_json("note.json", "more")
    assert (tmp_path / "a" / "note.json").read_text() == '"more"\n'
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_a_study_keeps_the_order_of_its_runs(tmp_path):
    study = StudyFolder.create(tmp_path / "s", "speeds", ["z", "a", "m"], "name: speeds\n")
    for label in ("a", "z"):
        RunFolder.create(study.path / label, f"name: speeds-{label}\n", {})
    runs = load_study(tmp_path / "s")
    assert [run.label for run in runs] == ["z", "a"]
    assert [run.name for run in runs] == ["speeds-z", "speeds-a"]


def test_the_manifest_alone_holds_date_and_machine(tmp_path):
    manifest = build_manifest(
        numerics={"torch": "2.9"}, cpu="AVX2", command=["afl-sim", "run"], label="x"
    )
    assert manifest["numerics"] == {"torch": "2.9"}
    assert manifest["cpu"] == "AVX2"
    assert manifest["command"] == ["afl-sim", "run"]
    assert manifest["label"] == "x"
    assert manifest["libraries"]["numpy"] == np.__version__
    assert manifest["created"].endswith("+00:00")
    json.dumps(manifest)


def test_a_command_line_that_is_no_text_is_kept_all_the_same(tmp_path):
    words = ["afl-sim", "run", "--out", os.fsdecode(b"caf\xe9"), "caf\u00e9"]
    folder = RunFolder.create(tmp_path / "a", "name: a\n", {"command": words})
    assert load_run(folder.path).manifest["command"] == words
    folder.write_json("manifest.json", {"command": words})
    assert load_run(folder.path).manifest["command"] == words


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    assert git_commit(tmp_path / "missing") is None


def test_the_commit_is_that_of_the_directory(tmp_path):
    import subprocess

    def git(*words):
        settings = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *settings, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    clean = git_commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == clean + "+changes"


def test_a_model_s_arrays_keep_their_order(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "name: a\n", {})
    names = ["z.weight", "z.bias", "a.weight", "count"]
    kinds = [np.float32, np.float32, np.float64, np.int64]  # the format sorts by these
    folder.write_model({n: np.zeros(2, dtype=k) for n, k in zip(names, kinds, strict=True)})
    assert list(load_run(folder.path).model()) == names


def test_a_model_without_a_noted_order_is_read_by_name(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "name: a\n", {})
    content = safetensors.numpy.save({name: np.zeros(1) for name in "cab"})
    (folder.path / "model.safetensors").write_bytes(content)
    assert list(load_run(folder.path).model()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EWOULDBLOCK, "another process is writing to"),
        (errno.ENOLCK, "cannot lock .*: No locks available"),
    ],
)
def test_a_lock_that_cannot_be_had_says_why(tmp_path, monkeypatch, code, words):
    folder = RunFolder.create(tmp_path / "run", "name: a\n", {})

    def refuse(lock, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunFolderError, match=words), folder.locked():
        pass


def test_a_folder_that_cannot_be_written_or_is_gone_is_refused_in_words(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "name: a\n", {})
    (folder.path / ".lock").mkdir()
    with pytest.raises(RunFolderError, match=r"cannot write to .*run: "), folder.locked():
        pass
    shutil.rmtree(folder.path)
    with pytest.raises(RunFolderError, match="the folder does not exist"), folder.locked():
        pass


def test_a_folder_that_is_moved_takes_its_lock_along(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "name: a\n", {})
    with folder.locked():
        folder.path.rename(tmp_path / "moved")
        RunFolder.create(tmp_path / "run", "name: b\n", {})
        (tmp_path / "run" / ".lock").write_text("of who writes there now")
    assert (tmp_path / "run" / ".lock").exists()


def test_a_lock_that_is_waited_for_is_had_when_its_holder_ends(tmp_path):
    order = []

    def second():
        with lock_of(tmp_path, wait=True):
            order.append("second")

    with lock_of(tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.1)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
    assert not list(tmp_path.iterdir())


def test_a_lock_whose_file_was_removed_is_no_lock(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path / "run", "name: a\n", {})
    real = fcntl.flock

    def late(lock, how):
        (folder.path / ".lock").unlink()  # its holder has come to its end just now
        real(lock, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(RunFolderError, match="try again"), folder.locked():
        pass
    monkeypatch.undo()
    with folder.locked():
        assert (folder.path / ".lock").exists()


def test_a_folder_that_is_held_and_gone_is_told(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "name: x\n", {})
    with folder.locked():
        folder.check_there()
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        with pytest.raises(AflSimError, match="run was removed or moved during the run"):
            folder.check_there()
        (tmp_path / "run").mkdir()  # another in its place is not it
        with pytest.raises(AflSimError, match="was removed or moved"):
            folder.check_there()
    folder.check_there()  # nobody holds it
    assert list((tmp_path / "run").iterdir()) == []


def test_a_checkpoint_does_not_make_the_folder_of_its_run(tmp_path):
    with pytest.raises(AflSimError, match="the folder does not exist"):
        save_checkpoint(tmp_path / "run" / "checkpoint", 1, {}, {})
    assert list(tmp_path.iterdir()) == []
