"""The packaged MNIST is unpacked once, checked, and unpacked again where it is damaged."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_files import NAMES, PACKED, digests, expected_digests, flip, lengthen, truncate

from afl_sim.errors import DataError
from afl_sim.learning.data.mnist_cache import cache_folder, unpack_mnist


def test_the_packages_files_unpack_to_the_published_digests(cache: Path) -> None:
    assert digests(cache) == expected_digests(PACKED)


def test_a_complete_cache_is_not_written_again(cache: Path) -> None:
    raw = cache / "MNIST" / "raw"
    before = {name: os.stat(raw / name).st_ino for name in NAMES}
    assert unpack_mnist(cache) == cache
    assert {name: os.stat(raw / name).st_ino for name in NAMES} == before


@pytest.mark.parametrize("damage", [flip, truncate, lengthen, Path.unlink])
@pytest.mark.parametrize("name", NAMES[:2])
def test_a_damaged_cache_file_is_unpacked_again(
    small: Path, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    unpack_mnist(tmp_path / "c", small)
    damage(tmp_path / "c" / "MNIST" / "raw" / name)
    assert digests(tmp_path / "c") != expected_digests(small)
    unpack_mnist(tmp_path / "c", small)
    assert digests(tmp_path / "c") == expected_digests(small)


def test_what_a_killed_process_left_is_cleared_away_and_never_read(
    small: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "c" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / ".unpacking-abc").write_bytes(b"half")
    unpack_mnist(tmp_path / "c", small)
    assert digests(tmp_path / "c") == expected_digests(small)


def break_gzip(path: Path) -> None:
    path.write_bytes(b"not gzip at all")


def wrong_contents(path: Path) -> None:
    path.write_bytes(gzip.compress(b"some other file"))


@pytest.mark.parametrize("damage", [flip, truncate, break_gzip, wrong_contents, Path.unlink])
def test_a_damaged_package_file_is_an_error_and_leaves_no_file_of_that_name(
    small: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(small / f"{NAMES[2]}.gz")
    with pytest.raises(DataError, match=f"{NAMES[2]}.gz is damaged .*reinstall"):
        unpack_mnist(tmp_path / "c", small)
    assert set(digests(tmp_path / "c")) == set(NAMES[:2])


@pytest.mark.parametrize("text", ["", "abc", "\0\xff", "0" * 64 + "  train-images-idx3-ubyte\n"])
def test_damaged_checksums_are_an_error(small: Path, tmp_path: Path, text: str) -> None:
    (small / "SHA256SUMS").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="SHA256SUMS is damaged"):
        unpack_mnist(tmp_path / "c", small)


def _unpack_and_check(package: Path, folder: Path, start: Any, failures: Any) -> None:
    start.wait()
    for _ in range(5):
        unpack_mnist(folder, package)
        if {k: v for k, v in digests(folder).items() if k in NAMES} != expected_digests(package):
            failures.put("read something else than the package's contents")


def test_processes_that_start_at_once_all_read_whole_files(small: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, failures = context.Event(), context.Queue()
    arguments = (small, tmp_path / "c", start, failures)
    processes = [context.Process(target=_unpack_and_check, args=arguments) for _ in range(6)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert failures.empty()
    assert digests(tmp_path / "c") == expected_digests(small)


@pytest.mark.parametrize("kind", ["file in the way", "proc"])
def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_variable(
    small: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = (
        tmp_path / "file" / "c"
        if kind == "file in the way"
        else Path("/proc/nothing-can-be-made-here")
    )
    with pytest.raises(DataError, match=f"cannot unpack MNIST into {folder}.*AFL_SIM_CACHE"):
        unpack_mnist(folder, small)


def test_a_full_disk_is_an_error_and_leaves_no_part_of_a_file(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        unpack_mnist(tmp_path / "c", small)
    assert digests(tmp_path / "c") == {}


def test_a_complete_cache_is_read_without_its_lock(small: Path, tmp_path: Path) -> None:
    unpack_mnist(tmp_path / "c", small)
    (tmp_path / "c" / "MNIST" / "raw" / ".lock").unlink()
    unpack_mnist(tmp_path / "c", small)
    assert not (tmp_path / "c" / "MNIST" / "raw" / ".lock").exists()


def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AFL_SIM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "afl_sim"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_folder() == tmp_path / ".cache" / "afl_sim"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "afl_sim"
    monkeypatch.setenv("AFL_SIM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_removing_the_cache_is_harmless(tmp_path: Path, small: Path) -> None:
    unpack_mnist(tmp_path / "c", small)
    shutil.rmtree(tmp_path / "c")
    unpack_mnist(tmp_path / "c", small)
    assert digests(tmp_path / "c") == expected_digests(small)
