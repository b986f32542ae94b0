"""Downloads: what is fetched, and only if the scenario says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torchvision.datasets
from data_files import raw, write_mnist_like

from afl_sim.errors import DataError
from afl_sim.learning.data.datasets import load_annotations, load_dataset
from afl_sim.streams import Streams


def test_download_fetches_only_what_is_missing_and_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(self: Any) -> None:
        asked.append(self.root)
        write_mnist_like(Path(self.root), "kmnist", 10)

    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", download)
    spec = raw("kmnist", None, download=True)
    assert len(load_annotations(spec, Streams(1), tmp_path)) == 12
    assert asked == [tmp_path]
    assert len(load_dataset(spec, Streams(1), tmp_path).labels) == 12
    assert asked == [tmp_path]
    own = raw("kmnist", tmp_path / "own", download=True)
    assert len(load_annotations(own, Streams(1), tmp_path)) == 12
    assert asked == [tmp_path, tmp_path / "own"]


def test_a_failed_download_is_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(self: Any) -> None:
        raise RuntimeError("Error downloading x:\nTried http://mirror, got:\nno network\n")

    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", download)
    with pytest.raises(DataError, match=r"or download it: .*no network") as caught:
        load_annotations(raw("kmnist", None, download=True), Streams(1), tmp_path)
    assert "\n" not in str(caught.value)
