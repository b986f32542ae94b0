"""Runs with data of one's own: trained anywhere to the same digests, and tied to their content."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from data_files import write_mnist_like
from own_files import npz
from places import SMALLEST
from torch import nn

from afl_sim.errors import DataError, RunFolderError
from afl_sim.learning.data import own_data
from afl_sim.learning.data.datasets import load_dataset
from afl_sim.learning.data.inputs import RawInputs
from afl_sim.learning.data.sources import array_files
from afl_sim.learning.data.sources.contents import files_digest
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.scenario import Case, Scenario
from afl_sim.streams import Streams
from afl_sim.study.case import Options, finished_before


def scenario(dataset: str, *more: str) -> Scenario:
    settings = [
        "data={dataset: " + dataset + "}",
        "clients.count=4",
        "stop.updates=12",
        "evaluation.samples=null",
        "strategy={kind: fedbuff, concurrency: 3, buffer_size: 2}",
    ]
    return load_scenario(SMALLEST, [*settings, *more])


@pytest.fixture
def images(tmp_path: Path) -> str:
    labels = np.arange(80) % 4
    noise = np.random.default_rng(5).integers(0, 60, (80, 8, 8))
    noise[np.arange(80), 2 * labels] += 150  # a bright row, lower for larger labels
    pixels = noise.astype(np.uint8)
    npz(tmp_path / "images.npz", inputs=pixels, labels=labels, who=np.arange(80) % 5)
    return str(tmp_path / "images.npz")


@pytest.fixture
def numbers(tmp_path: Path) -> str:
    labels = np.array(["yes", "no"])[np.arange(40) % 2]
    inputs = np.random.default_rng(6).normal(size=(40, 6)).astype(np.float32)
    return npz(tmp_path / "numbers.npz", inputs=inputs, labels=labels)


def test_images_train_in_this_process_and_in_workers_to_the_same_digest(
    images: str, tmp_path: Path
) -> None:
    block = f"{{kind: files, train: {images}, test_share: 0.25, client: who}}"
    settings = [
        "model=mlp",
        "data.partition={kind: natural}",
        "data.validation=0.1",
        "training.epochs=10",
    ]
    given = scenario(block, *settings)
    inline = simulate(given, tmp_path / "inline")
    assert inline.summary["final"]["accuracy"] > 0.6
    workers = given.model_copy(
        update={"execution": given.execution.model_copy(update={"executor": "processes"})}
    )
    elsewhere = simulate(workers, tmp_path / "workers")
    assert elsewhere.summary["model_digest"] == inline.summary["model_digest"]
    raw = scenario(block, *settings, "data.storage=uint8")
    assert simulate(raw).summary["model_digest"] == inline.summary["model_digest"]


def test_mapped_numbers_give_the_digest_of_numbers_in_memory(
    numbers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = scenario(f"{{kind: files, train: {numbers}, test: {numbers}}}")
    plain = simulate(given).summary["model_digest"]
    monkeypatch.setattr(array_files, "MAPPED_FROM", 1)
    monkeypatch.setattr(own_data, "stays_raw", lambda storage, count: True)
    # Another name is another block, so that nothing that was read before is used.
    places = {}
    with np.load(numbers) as arrays:
        for key in ("inputs", "labels"):
            places[key] = str(tmp_path / f"{key}.npy")
            np.save(places[key], arrays[key])
    block = f"{{inputs: {places['inputs']}, labels: {places['labels']}}}"
    mapped = scenario(
        f"{{kind: files, train: {block}, test: {block}}}", "execution.executor=processes"
    )
    assert simulate(mapped).summary["model_digest"] == plain


@pytest.fixture
def embedding() -> Iterator[str]:
    module = ModuleType("own_token_model")

    def sized(vocabulary: int, classes: int, form: Any) -> nn.Module:
        length = form.input_shape[0]
        return nn.Sequential(
            nn.Embedding(vocabulary, 4), nn.Flatten(), nn.Linear(4 * length, classes)
        )

    module.sized = sized  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield f"{module.__name__}:sized"
    del sys.modules[module.__name__]


def test_tokens_train_with_a_model_of_the_users_own(embedding: str, tmp_path: Path) -> None:
    tokens = np.random.default_rng(7).integers(0, 9, (60, 5))
    path = npz(tmp_path / "t.npz", inputs=tokens, labels=tokens[:, 0] % 2)
    given = scenario(
        f"{{kind: files, train: {path}, test_share: 0.2, type: tokens}}",
        f"model={{kind: '{embedding}'}}",
        "training.optimizer.lr=0.5",
    )
    assert simulate(given).summary["final"]["accuracy"] > 0.6


def test_a_run_is_neither_resumed_nor_reused_with_other_content(
    numbers: str, tmp_path: Path
) -> None:
    given = scenario(f"{{kind: files, train: {numbers}, test_share: 0.2}}")
    finished = simulate(given, tmp_path / "run")
    assert finished.manifest["data"]
    case = Case("", given)
    again = finished_before(case, tmp_path / "run", Options())
    assert again is not None
    assert again.reused
    calls = iter(range(100))
    with pytest.raises(KeyboardInterrupt):
        simulate(given, tmp_path / "part", stop_wanted=lambda: next(calls) > 1)
    with np.load(numbers) as arrays:
        changed = {name: arrays[name] for name in arrays}
    content = Path(numbers).read_bytes()
    changed["inputs"] = changed["inputs"] * 2
    npz(Path(numbers), **changed)
    with pytest.raises(RunFolderError, match=r"was made from other data .*has changed since"):
        finished_before(case, tmp_path / "run", Options())
    with pytest.raises(RunFolderError, match="was started with other data"):
        resume(tmp_path / "part")
    Path(numbers).write_bytes(content)  # only the content counts, not when it was written
    assert resume(tmp_path / "part").summary["model_digest"] == finished.summary["model_digest"]


def test_the_content_of_data_root_is_a_part_of_the_identity(tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "fashion_mnist", 10)
    settings = ["data={dataset: fashion_mnist, root: " + str(tmp_path) + "}", "clients.count=2"]
    settings += ["stop.updates=4", "evaluation.samples=null"]
    given = load_scenario(
        SMALLEST, [*settings, "strategy={kind: fedbuff, concurrency: 2, buffer_size: 2}"]
    )
    simulate(given, tmp_path / "run", timing_only=True)
    images = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    with pytest.raises(RunFolderError, match="was made from other data"):
        finished_before(Case("", given), tmp_path / "run", Options(timing_only=True))


def test_bad_data_leaves_no_folder(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", inputs=np.full((9, 2), np.nan), labels=np.arange(9) % 2)
    given = scenario(f"{{kind: files, train: {path}, test_share: 0.5}}")
    with pytest.raises(DataError, match="is nan; expected finite numbers"):
        simulate(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_holes_of_sparse_files_count_as_zeros(tmp_path: Path) -> None:
    size = 9 << 20
    sparse, full = tmp_path / "sparse", tmp_path / "full"
    with open(sparse, "wb") as file:
        file.seek(5 << 20)
        file.write(b"x")
        file.truncate(size)
    full.write_bytes(sparse.read_bytes())
    huge = tmp_path / "huge"
    huge.touch()
    os.truncate(huge, 20 << 30)
    digests = [files_digest(iter([("a", path)])) for path in (sparse, full, huge)]
    assert digests[0] == digests[1] != digests[2]


def test_a_sparse_file_of_20_gigabytes_is_trained_on_without_being_read(tmp_path: Path) -> None:
    samples, shape = 143_000, (3, 224, 224)
    images, labels = tmp_path / "images.npy", tmp_path / "labels.npy"
    np.lib.format.open_memmap(images, "w+", np.uint8, (samples, *shape))
    np.save(labels, np.arange(samples) % 3)
    assert images.stat().st_size > 20 << 30
    few, some = tmp_path / "few.npy", tmp_path / "some.npy"
    np.save(few, np.zeros((5, *shape), np.uint8))
    np.save(some, np.arange(5) % 3)
    given = scenario(
        f"{{kind: files, train: {{inputs: {images}, labels: {labels}}}, "
        f"test: {{inputs: {few}, labels: {some}}}}}",
        "data.normalize=unit",
        "data.storage=uint8",
        "data.partition={kind: iid, samples: 10}",
    )
    pool = load_dataset(given.data, Streams(0))
    assert isinstance(pool.inputs, RawInputs)
    assert pool.inputs.file is not None
    assert simulate(given).status == "complete"
