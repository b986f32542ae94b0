"""Data sets: the bundled MNIST and its cache, other data sets from files in their real formats."""

from __future__ import annotations

import collections
import gzip
import hashlib
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from pydantic import ValidationError

from afl_sim.errors import DataError
from afl_sim.learning.data import dataset_files, mnist_cache
from afl_sim.learning.data.arrays import store_arrays
from afl_sim.learning.data.dataset_files import made_from, read_images, read_labels
from afl_sim.learning.data.datasets import (
    Dataset,
    load_dataset,
    load_labels,
    normalization,
    split_pool,
    store_pool,
)
from afl_sim.learning.data.file_formats import read_cifar
from afl_sim.learning.data.mnist_cache import cache_folder, unpack_mnist
from afl_sim.learning.data.normalization import of_unit_norm
from afl_sim.scenario.sections.data import DATASETS, DataSpec
from afl_sim.streams import Streams

PACKED = Path(mnist_cache.__file__).parent / "mnist"
NAMES = [
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that MNIST was unpacked into; not to be damaged."""
    folder = tmp_path_factory.mktemp("cache")
    unpack_mnist(folder)
    return folder


@pytest.fixture(scope="module")
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


def digests(folder: Path) -> dict[str, str]:
    raw = folder / "MNIST" / "raw"
    names = [name for name in os.listdir(raw) if name != ".lock"]
    return {name: hashlib.sha256((raw / name).read_bytes()).hexdigest() for name in names}


def expected_digests(package: Path) -> dict[str, str]:
    lines = (package / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in map(str.split, lines)}


# The cache


def test_the_packages_files_unpack_to_the_published_digests(cache: Path) -> None:
    assert digests(cache) == expected_digests(PACKED)


def test_a_complete_cache_is_not_written_again(cache: Path) -> None:
    raw = cache / "MNIST" / "raw"
    before = {name: os.stat(raw / name).st_ino for name in NAMES}
    assert unpack_mnist(cache) == cache
    assert {name: os.stat(raw / name).st_ino for name in NAMES} == before


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a failing disk would


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


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


# MNIST


def test_mnist_is_one_normalised_tensor_shared_by_the_process(cache: Path) -> None:
    data = load_dataset(DataSpec(), Streams(1), cache)
    assert data.images.shape == (60_000, 1, 28, 28)
    assert data.images.dtype == torch.float32
    assert data.labels.dtype == torch.int64
    assert data.test_images.shape == (10_000, 1, 28, 28)
    assert (data.classes, data.input_shape) == (10, (1, 28, 28))
    assert torch.bincount(data.labels).tolist() == (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    assert len(data.validation_labels) == len(data.validation_images) == 0
    again = load_dataset(DataSpec(), Streams(2), cache)
    assert again.images.data_ptr() == data.images.data_ptr()


def test_standard_normalisation_is_the_well_known_mean_and_deviation(cache: Path) -> None:
    data = load_dataset(DataSpec(), Streams(1), cache)
    black, white = data.images.min().item(), data.images.max().item()
    assert black == pytest.approx(-0.1307 / 0.3081, abs=3e-4)
    assert white == pytest.approx((1 - 0.1307) / 0.3081, abs=3e-4)


@pytest.mark.parametrize("pool", ["train", "train_and_test"])
@pytest.mark.parametrize("validation", [0.0, 0.1])
def test_labels_alone_are_those_of_the_whole_data_set(
    cache: Path, pool: str, validation: float
) -> None:
    spec = DataSpec.model_validate({"pool": pool, "validation": validation, "normalize": "raw"})
    data = load_dataset(spec, Streams(3), cache)
    labels = load_labels(spec, Streams(3), cache)
    assert labels.dtype == np.int64
    assert np.array_equal(labels, data.labels.numpy())
    total = 60_000 if pool == "train" else 70_000
    assert len(data.labels) == total - round(total * validation) == spec.train_samples
    assert len(data.validation_images) == len(data.validation_labels) == round(total * validation)
    assert len(data.test_labels) == 10_000


def test_the_reader_is_torchvisions(cache: Path) -> None:
    data = load_dataset(DataSpec(normalize="raw"), Streams(1), cache)
    theirs = torchvision.datasets.MNIST(cache, train=True)
    assert torch.equal(data.images[:, 0].to(torch.uint8), theirs.data)
    assert torch.equal(data.labels, theirs.targets)


def test_pooling_appends_the_test_set(cache: Path) -> None:
    data = load_dataset(DataSpec(pool="train_and_test", normalize="raw"), Streams(1), cache)
    assert torch.equal(data.images[60_000:], data.test_images)
    assert torch.equal(data.labels[60_000:], data.test_labels)


def test_the_held_out_share_is_drawn_by_the_seed_and_shares_no_sample() -> None:
    training, validation = split_pool(1000, 0.25, Streams(1))
    assert len(validation) == 250
    assert sorted([*training, *validation]) == list(range(1000))
    assert (np.diff(training) > 0).all()
    assert np.array_equal(validation, split_pool(1000, 0.25, Streams(1))[1])
    assert not np.array_equal(validation, split_pool(1000, 0.25, Streams(2))[1])
    with pytest.raises(DataError, match="leaves none"):
        split_pool(3, 0.99, Streams(1))


# Normalisation


def images(samples: int = 40, channels: int = 3) -> torch.Tensor:
    random = np.random.default_rng(5)
    return torch.from_numpy(random.integers(0, 256, (samples, channels, 4, 4), dtype=np.uint8))


@pytest.mark.parametrize("how", ["standard", "unit", "centred", "raw", "pixelwise"])
def test_normalisation_is_its_formula(how: str) -> None:
    train, pool = images(), torch.cat([images(), images(7)])
    unit = pool.numpy().astype(np.float64) / 255
    reference = train.numpy().astype(np.float64) / 255
    expected = {
        "raw": unit * 255,
        "unit": unit,
        "centred": unit - 0.5,
        "standard": (unit - reference.mean((0, 2, 3), keepdims=True))
        / reference.std((0, 2, 3), keepdims=True),
        "pixelwise": (unit - unit.mean(0)) / (unit.std(0) + 0.001),
    }[how]
    shift, scale = normalization(how, train, pool)
    np.testing.assert_allclose((pool.float() - shift) / scale, expected, rtol=1e-5, atol=1e-6)


def test_flat_images_are_normalised_without_dividing_by_zero() -> None:
    flat = torch.full((5, 1, 2, 2), 9, dtype=torch.uint8)
    for how in ("standard", "pixelwise"):
        shift, scale = normalization(how, flat, flat)
        assert torch.equal((flat.float() - shift) / scale, torch.zeros(5, 1, 2, 2))


def test_images_of_unit_norm_point_where_they_did(cache: Path) -> None:
    plain = load_dataset(DataSpec.model_validate({"normalize": "unit"}), Streams(1), cache)
    scaled = load_dataset(DataSpec.model_validate({"normalize": "unit_norm"}), Streams(1), cache)
    for ours, source in ((scaled.images, plain.images), (scaled.test_images, plain.test_images)):
        some, theirs = ours[:500].flatten(1), source[:500].flatten(1)
        torch.testing.assert_close(some.norm(dim=1), torch.ones(500))
        torch.testing.assert_close(some * theirs.norm(dim=1, keepdim=True), theirs)


def test_a_black_image_stays_black() -> None:
    assert torch.equal(of_unit_norm(torch.zeros(2, 1, 3, 3)), torch.zeros(2, 1, 3, 3))


# Other data sets


def write_idx(path: Path, array: np.ndarray) -> None:
    """The IDX format: two zero bytes, type 8 (unsigned byte), rank, big-endian sizes, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def write_mnist_like(root: Path, dataset: str, classes: int, first_label: int = 0) -> np.ndarray:
    """Twelve training and five test images where torchvision looks; returns the training ones."""
    random = np.random.default_rng(8)
    folder = root / DATASETS[dataset].title / "raw"
    prefixes = ("train", "t10k")
    if dataset == "emnist":
        prefixes = ("emnist-letters-train", "emnist-letters-test")
    pictures = random.integers(0, 256, (17, 28, 28), dtype=np.uint8)
    for prefix, part in zip(prefixes, (slice(0, 12), slice(12, 17)), strict=True):
        labels = np.arange(17)[part] % classes + first_label
        write_idx(folder / f"{prefix}-images-idx3-ubyte", pictures[part])
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return pictures[:12]


def raw(dataset: str, root: Path | None, **more: Any) -> DataSpec:
    place = None if root is None else str(root)
    return DataSpec.model_validate({"dataset": dataset, "root": place, "normalize": "raw"} | more)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "kmnist"])
def test_a_users_own_copy_is_read_from_root(tmp_path: Path, dataset: str) -> None:
    pictures = write_mnist_like(tmp_path, dataset, 10)
    data = load_dataset(raw(dataset, tmp_path), Streams(1), tmp_path / "unused")
    assert np.array_equal(data.images[:, 0].numpy(), pictures)
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert data.test_labels.tolist() == [2, 3, 4, 5, 6]
    labels = load_labels(raw(dataset, tmp_path), Streams(1), tmp_path / "unused")
    assert labels.tolist() == data.labels.tolist()
    assert not (tmp_path / "unused").exists()


def test_a_users_own_copy_needs_no_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise DataError("there is no home folder")

    monkeypatch.setattr(dataset_files, "cache_folder", no_home)
    write_mnist_like(tmp_path, "kmnist", 10)
    assert len(load_dataset(raw("kmnist", tmp_path), Streams(1)).labels) == 12
    assert len(load_labels(raw("kmnist", tmp_path), Streams(1))) == 12
    with pytest.raises(DataError, match="no home folder"):
        load_labels(DataSpec(), Streams(1))


def write_legacy(root: Path, title: str) -> None:
    """What a torchvision of 2019 kept in place of the IDX files, here all of it zeros."""
    (root / title / "processed").mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        zeros = torch.zeros(12, 28, 28, dtype=torch.uint8), torch.zeros(12).long()
        torch.save(zeros, root / title / "processed" / name)


def test_files_of_an_old_torchvision_in_the_cache_replace_nothing(
    cache: Path, tmp_path: Path
) -> None:
    write_legacy(tmp_path, "MNIST")
    assert not torchvision.datasets.MNIST(tmp_path, train=True).data.any()  # it would believe them
    shutil.copytree(cache / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    for train in (True, False):
        images, labels = read_images(DataSpec(), tmp_path, train=train)
        right, targets = read_images(DataSpec(), cache, train=train)
        assert torch.equal(images, right)
        assert torch.equal(labels, targets)
        assert torch.equal(read_labels(DataSpec(), tmp_path, train=train), targets)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_files_of_an_old_torchvision_in_a_root_replace_nothing(
    tmp_path: Path, dataset: str
) -> None:
    write_legacy(tmp_path, DATASETS[dataset].title)
    with pytest.raises(DataError, match=r"was not found; .*processed, of an old .* is not read"):
        load_dataset(raw(dataset, tmp_path), Streams(1))
    pictures = write_mnist_like(tmp_path, dataset, 10)
    data = load_dataset(raw(dataset, tmp_path), Streams(1))
    assert np.array_equal(data.images[:, 0].numpy(), pictures)
    assert load_labels(raw(dataset, tmp_path), Streams(1)).tolist() == data.labels.tolist()


def test_packed_files_are_named_where_unpacked_ones_are_missing(tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    path = tmp_path / "KMNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.rename(path.with_name(f"{path.name}.gz"))
    with pytest.raises(DataError, match=r"only t10k-images-idx3-ubyte\.gz, which has to be unp"):
        load_dataset(raw("kmnist", tmp_path), Streams(1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing; expected an IDX file of 1 dimension"),
        (b"\0\0\x09\x01\0\0\0\x0c" + bytes(12), "begins with 00 00 09 01"),
        (b"\0\0\x08\x03\0\0\0\x0c" + bytes(12), "begins with 00 00 08 03; .* 00 00 08 01"),
        (b"\0\0\x08\x01\0\0", "begins with 00 00 08 01"),
        (b"\0\0\x08\x01\0\0\0\x0c" + bytes(11), "holds 11 bytes of data; its header says 12"),
        (
            b"\0\0\x08\x01\xff\xff\xff\xff" + bytes(12),
            "holds 12 bytes of data; its header says 4294967295",
        ),
    ],
)
def test_what_is_wrong_with_an_idx_file_is_said(
    tmp_path: Path, content: bytes, message: str
) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    (tmp_path / "KMNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte {message}"):
        load_labels(raw("kmnist", tmp_path), Streams(1))


# Arrays that are kept


STORED = ("images", "labels", "test_images", "test_labels")


def arrays_of(data: Dataset) -> dict[str, np.ndarray]:
    """Copies of what is stored of a data set."""
    return {name: getattr(data, name).numpy().copy() for name in STORED}


@pytest.mark.parametrize("normalize", ["standard", "pixelwise", "unit_norm"])
@pytest.mark.parametrize("pool", ["train", "train_and_test"])
def test_arrays_are_known_for_those_of_their_files(
    tmp_path: Path, normalize: str, pool: str
) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    spec = raw("kmnist", tmp_path, normalize=normalize, pool=pool)
    right = arrays_of(load_dataset(spec, Streams(1)))
    assert made_from(right, spec, tmp_path)
    black, turned, labels = (dict(right) for _ in range(3))
    black["test_images"] = np.zeros_like(right["test_images"])
    turned["images"] = right["images"][::-1].copy()
    labels["labels"] = right["labels"][::-1].copy()
    part = {name: array[:3] for name, array in right.items()}
    wide = {name: array.astype(np.float64) for name, array in right.items()}
    for wrong in (black, turned, labels, part, wide, {"pictures": right["images"]}):
        assert not made_from(wrong, spec, tmp_path)


def test_foreign_arrays_in_the_cache_are_made_anew(cache: Path, tmp_path: Path) -> None:
    right = load_dataset(DataSpec(), Streams(1), cache)
    black = arrays_of(right)
    black["images"][:] = 0
    assert right.stored is not None
    store_arrays(tmp_path / "arrays" / right.stored.name, black)  # with digests of their own
    data = load_dataset(DataSpec(), Streams(1), tmp_path)
    assert torch.equal(data.images, right.images)
    assert made_from(arrays_of(data), DataSpec(), tmp_path)


def test_another_set_under_the_name_of_a_pool_is_not_shared(cache: Path, tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    data = load_dataset(raw("kmnist", tmp_path), Streams(1))
    store_arrays(tmp_path / "place", {"images": np.zeros((12, 1, 28, 28), np.float32)})
    shared = store_pool(data, tmp_path / "place")
    assert shared is not None
    assert torch.equal(shared.images, data.images)
    assert shared.stored == tmp_path / "place"


def test_emnist_letters_count_from_zero(tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "emnist", 26, first_label=1)
    data = load_dataset(raw("emnist", tmp_path, split="letters"), Streams(1))
    assert data.labels.tolist() == list(range(12))
    assert data.classes == 26
    with pytest.raises(DataError, match="emnist-balanced-train-images"):
        load_dataset(raw("emnist", tmp_path), Streams(1))


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR10's pickled batches of four images each.

    torchvision refuses batches whose MD5 is not the published one, so the list of digests it checks
    is that of these files; the check itself runs.
    """
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random = np.random.default_rng(9)
    pictures = random.integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)

    def write(name: str, content: dict[str, Any]) -> str:
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    listed = []
    for number, name in enumerate(names):
        part = pictures[4 * number : 4 * number + 4].reshape(4, 3072)
        listed.append([name, write(name, {"data": part, "labels": [number, 7, 8, 9]})])
    reader = torchvision.datasets.CIFAR10
    monkeypatch.setattr(reader, "train_list", listed[:5])
    monkeypatch.setattr(reader, "test_list", listed[5:])
    meta = write("batches.meta", {"label_names": [f"class {label}" for label in range(10)]})
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": meta})
    return pictures[:20]


def test_cifar_batches_become_channels_first_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_cifar(tmp_path, monkeypatch)
    data = load_dataset(raw("cifar10", tmp_path), Streams(1))
    assert np.array_equal(data.images.numpy(), pictures)
    assert data.images.is_contiguous()
    assert data.input_shape == (3, 32, 32)
    assert data.labels.tolist() == [label for n in range(5) for label in (n, 7, 8, 9)]
    assert load_labels(raw("cifar10", tmp_path), Streams(1)).tolist() == data.labels.tolist()
    standard = load_dataset(raw("cifar10", tmp_path, normalize="standard"), Streams(1))
    assert standard.images.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_damaged_cifar_batch_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, monkeypatch)
    flip(tmp_path / "cifar-10-batches-py" / "data_batch_2")
    with pytest.raises(DataError, match=r"cannot read CIFAR10 .*corrupted"):
        load_dataset(raw("cifar10", tmp_path), Streams(1))


def test_a_part_of_cifar_is_read_where_the_scenario_asks_for_no_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        pictures = write_cifar(tmp_path, patched)
    with pytest.raises(DataError, match=r"MD5 sums are the published.*data\.check: false reads"):
        load_dataset(raw("cifar10", tmp_path), Streams(1))
    data = load_dataset(raw("cifar10", tmp_path, check=False), Streams(1))
    assert np.array_equal(data.images.numpy(), pictures)
    assert data.labels.tolist() == [label for n in range(5) for label in (n, 7, 8, 9)]
    assert data.test_labels.tolist() == [5, 7, 8, 9]
    labels = load_labels(raw("cifar10", tmp_path, check=False), Streams(1))
    assert labels.tolist() == data.labels.tolist()


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("keys", [str, str.encode])
@pytest.mark.parametrize("labels", [list, np.array, lambda all_of: list(np.array(all_of))])
def test_batches_may_be_pickled_in_any_usual_way(
    tmp_path: Path, protocol: int, keys: Any, labels: Any
) -> None:
    images = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    batch = {keys("data"): images, keys("labels"): labels([3, 4])}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol=protocol))
    found, numbers = read_cifar(tmp_path, train=False)
    assert np.array_equal(found.reshape(2, 3072), images)
    assert numbers == [3, 4]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (collections.OrderedDict(data=1), "asks for collections.OrderedDict"),
        ([1, 2], "holds no images"),
        ({"data": np.zeros((2, 3072)), "labels": [1, 2]}, "holds no images"),
        ({"data": np.zeros((2, 30), np.uint8), "labels": [1, 2]}, "has 30 bytes for an image"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "as long as its 2 images"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1, "b"]}, "no whole numbers"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}, "labels from 1 to 10"),
    ],
)
def test_what_is_no_batch_of_cifar_is_an_error(tmp_path: Path, batch: Any, message: str) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (folder / name).write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError, match=message):
        load_dataset(raw("cifar10", tmp_path, check=False), Streams(1))


@pytest.mark.parametrize("dataset", ["fashion_mnist", "kmnist", "emnist", "cifar10"])
@pytest.mark.parametrize("load", [load_dataset, load_labels])
def test_without_root_or_download_the_error_says_both_ways(
    tmp_path: Path, dataset: str, load: Callable[..., Any]
) -> None:
    with pytest.raises(DataError, match=r"data\.root.*data\.download: true"):
        load(raw(dataset, None), Streams(1), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_empty_root_is_an_error_that_says_which_file_was_looked_for(tmp_path: Path) -> None:
    expected = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    with pytest.raises(DataError, match=f"not found.*{expected}.*data.download: true"):
        load_dataset(raw("kmnist", tmp_path), Streams(1))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", [truncate, lengthen, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_of_the_users_own_is_an_error(
    tmp_path: Path, name: str, damage: Callable[[Path], Any]
) -> None:
    write_mnist_like(tmp_path, "fashion_mnist", 10)
    damage(tmp_path / "FashionMNIST" / "raw" / name)
    with pytest.raises(DataError, match="cannot read FashionMNIST"):
        load_dataset(raw("fashion_mnist", tmp_path), Streams(1))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(11), "12 images with 11 labels"),
        ("train-labels-idx1-ubyte", np.full(12, 10), "labels from 10 to 10, expected 0 to 9"),
        ("train-labels-idx1-ubyte", np.zeros(0), "FashionMNIST"),
        ("t10k-images-idx3-ubyte", np.zeros((5, 28, 27)), r"images of \(1, 28, 27\)"),
    ],
)
def test_files_that_do_not_fit_together_are_an_error(
    tmp_path: Path, name: str, content: np.ndarray, message: str
) -> None:
    write_mnist_like(tmp_path, "fashion_mnist", 10)
    write_idx(tmp_path / "FashionMNIST" / "raw" / name, content)
    with pytest.raises(DataError, match=message):
        load_dataset(raw("fashion_mnist", tmp_path), Streams(1))


def test_download_fetches_only_what_is_missing_and_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(self: Any) -> None:
        asked.append(self.root)
        write_mnist_like(Path(self.root), "kmnist", 10)

    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", download)
    spec = raw("kmnist", None, download=True)
    assert len(load_labels(spec, Streams(1), tmp_path)) == 12
    assert asked == [tmp_path]
    assert len(load_dataset(spec, Streams(1), tmp_path).labels) == 12
    assert asked == [tmp_path]
    own = raw("kmnist", tmp_path / "own", download=True)
    assert len(load_labels(own, Streams(1), tmp_path)) == 12
    assert asked == [tmp_path, tmp_path / "own"]


def test_a_failed_download_is_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(self: Any) -> None:
        raise RuntimeError("Error downloading x:\nTried http://mirror, got:\nno network\n")

    monkeypatch.setattr(torchvision.datasets.KMNIST, "download", download)
    with pytest.raises(DataError, match=r"or download it: .*no network") as caught:
        load_labels(raw("kmnist", None, download=True), Streams(1), tmp_path)
    assert "\n" not in str(caught.value)


# The section itself


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"dataset": "minst"}, "dataset"),
        ({"split": "letters"}, "split is for dataset: emnist"),
        ({"validation": 1.0}, "validation"),
        ({"validation": float("nan")}, "validation"),
        ({"normalize": "std"}, "normalize"),
        ({"root": ""}, "root"),
        ({"roots": "x"}, "roots"),
        ({"check": False}, "check: false is for dataset: cifar10"),
    ],
)
def test_wrong_sections_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec.model_validate(section)


def test_the_published_sizes_are_those_of_the_files(cache: Path) -> None:
    assert DataSpec().train_samples == len(load_labels(DataSpec(), Streams(1), cache))
    assert set(DATASETS) == set(dataset_files._READERS)


def test_every_setting_is_described() -> None:
    schema = DataSpec.model_json_schema()
    for name, model in [("DataSpec", schema), *schema["$defs"].items()]:
        for field, described in model["properties"].items():
            assert described.get("description"), f"{name}.{field}"


def test_the_section_survives_a_round_trip() -> None:
    spec = DataSpec.model_validate(
        {"partition": {"kind": "sizes", "sizes": [3, 4]}, "validation": 0.1, "normalize": "unit"}
    )
    assert DataSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert hash(spec) == hash(DataSpec.model_validate(spec.model_dump(mode="json")))


def test_removing_the_cache_is_harmless(tmp_path: Path, small: Path) -> None:
    unpack_mnist(tmp_path / "c", small)
    shutil.rmtree(tmp_path / "c")
    unpack_mnist(tmp_path / "c", small)
    assert digests(tmp_path / "c") == expected_digests(small)
