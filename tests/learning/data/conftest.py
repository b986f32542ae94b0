"""Caches of unpacked data, and a small package in place of MNIST."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import NAMES

from afl_sim.learning.data.mnist_cache import unpack_mnist


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that MNIST was unpacked into; not to be damaged."""
    folder = tmp_path_factory.mktemp("cache")
    unpack_mnist(folder)
    return folder


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package folder with four small files in place of MNIST's, so that unpacking is quick."""
    folder = tmp_path_factory.mktemp("package")
    sums = []
    for number, name in enumerate(NAMES):
        content = np.random.default_rng(number).bytes(3_000_000 + number)
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=1))
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


@pytest.fixture
def small(packed: Path, tmp_path: Path) -> Path:
    """A copy of the small package; it may be damaged."""
    return shutil.copytree(packed, tmp_path / "package")
