"""A damaged, missing or unwritable cache of the bundled MNIST, through the real command."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from commands import QUICK, Command, digests
from finished import Finished
from places import ROOT, SMALLEST

SUMS = dict(
    reversed(line.split())
    for line in (ROOT / "afl_sim" / "learning" / "data" / "mnist" / "SHA256SUMS")
    .read_text()
    .splitlines()
)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_cache_is_repaired_before_it_is_used(
    tmp_path: Path, cache: Path, finished: Finished
) -> None:
    """The digests of the run show that not one damaged sample was trained on or dealt out."""
    own = tmp_path / "cache"
    shutil.copytree(cache, own)
    raw = own / "MNIST" / "raw"
    assert set(SUMS) <= {path.name for path in raw.iterdir()}
    flip(raw / "train-images-idx3-ubyte")
    truncate(raw / "train-labels-idx1-ubyte")
    (raw / "t10k-images-idx3-ubyte").unlink()
    (result,) = Command(tmp_path, own).batch([("run", SMALLEST, *QUICK, "--out", "run")])
    result.succeeded()
    for name, digest in SUMS.items():
        assert hashlib.sha256((raw / name).read_bytes()).hexdigest() == digest
    assert digests(tmp_path / "run") == digests(finished.full)


def test_a_damaged_package_is_told_and_not_used(tmp_path: Path) -> None:
    """A copy of the package with a flipped byte in its labels, and a cache still empty."""
    copy = tmp_path / "package"
    shutil.copytree(ROOT / "afl_sim", copy / "afl_sim")
    flip(copy / "afl_sim" / "learning" / "data" / "mnist" / "train-labels-idx1-ubyte.gz")
    (tmp_path / "work").mkdir()
    command = Command(tmp_path / "work", tmp_path / "cache")
    result = command("run", SMALLEST, *QUICK, "--out", "run", PYTHONPATH=str(copy))
    assert result.code == 2
    (message,) = result.errors
    assert "train-labels-idx1-ubyte.gz is damaged" in message
    assert "reinstall" in message
    assert list((tmp_path / "work").iterdir()) == []
    unpacked = tmp_path / "cache" / "MNIST" / "raw"
    assert not (unpacked / "train-labels-idx1-ubyte").exists()
    for path in unpacked.iterdir():
        if path.name in SUMS:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == SUMS[path.name]
        else:
            assert path.name == ".lock"


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    command = Command(tmp_path, tmp_path / "file" / "cache")
    (result,) = command.batch([("validate", SMALLEST)])
    assert result.code == 2
    (message,) = result.errors
    assert "cannot unpack MNIST" in message
    assert "AFL_SIM_CACHE" in message
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.usefixtures("finished")
def test_a_users_own_copy_that_is_damaged_is_told(afl_sim: Command, tmp_path: Path) -> None:
    raw = tmp_path / "own" / "MNIST" / "raw"
    shutil.copytree(afl_sim.cache / "MNIST" / "raw", raw)
    truncate(raw / "train-labels-idx1-ubyte")
    good, bad = afl_sim.batch(
        [
            ("validate", SMALLEST, "--set", f"data.root={afl_sim.cache}"),
            ("run", SMALLEST, "--set", f"data.root={tmp_path / 'own'}", "--out", "run"),
        ]
    )
    good.succeeded()
    assert bad.code == 2
    (message,) = bad.errors
    assert "own" in message
    assert "data" in message
    assert not (tmp_path / "run").exists()
