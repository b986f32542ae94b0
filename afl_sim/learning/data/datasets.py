"""Data sets as whole tensors.

Torchvision's transforms of single items cost more time than training a small CNN. So a data set is
converted once from 8 bits to one normalized float32 tensor, which the whole process shares.
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from afl_sim.errors import DataError
from afl_sim.lazy import torch
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.data.arrays import Arrays, content_key, holds, open_arrays, store_arrays
from afl_sim.learning.data.content import data_digest
from afl_sim.learning.data.conversion import convert_pool, scaling_of
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.dataset_files import cache_for, made_from, read_images, read_labels
from afl_sim.learning.data.form import form_of
from afl_sim.learning.data.inputs import Scaling
from afl_sim.learning.data.mnist_cache import cache_folder
from afl_sim.learning.data.own_data import (
    forget_fields,
    is_source,
    source_annotations,
    source_fields,
    source_scaling,
)
from afl_sim.learning.data.packing import arrays_of, fields_of
from afl_sim.learning.data.sources.named import forget_named
from afl_sim.learning.data.sources.reading import forget_sources, know_form
from afl_sim.machine import return_freed_memory
from afl_sim.scenario.sections.data import DataSpec, held_out
from afl_sim.scenario.sections.datasets import OwnDataset
from afl_sim.scenario.sections.partitions import Iid
from afl_sim.streams import Streams

_supplied: dict[DataSpec, Dataset] = {}  # pools that came from another process
_mapped: dict[tuple[DataSpec, str | None], Dataset] = {}  # pools that this process has stored
_STORED_FORM = "v3"  # a new form of the stored arrays needs a new name


def load_dataset(spec: DataSpec, streams: Streams, cache: Path | None = None) -> Dataset:
    """Read, normalise and split a data set; it is read and normalised once per process.

    Args:
        spec: the scenario's ``data`` section.
        streams: the scenario's seed, which draws the held-out share (purpose "validation").
        cache: folder for unpacked and downloaded files; `cache_folder()` if None.

    Raises:
        DataError: the files are missing or damaged, or could not be downloaded.
    """
    pool = _pool(spec, cache)
    training, validation = split_pool(len(pool.labels), spec.validation, streams)
    if not len(validation):
        return pool
    kept, aside = torch.from_numpy(training), torch.from_numpy(validation)
    return replace(
        pool,
        inputs=pool.inputs[kept],
        labels=pool.labels[kept],
        validation_inputs=pool.inputs[aside],
        validation_labels=pool.labels[aside],
        owners=None if pool.owners is None else pool.owners[kept],
        weights=None if pool.weights is None else pool.weights[kept],
    )


def load_annotations(spec: DataSpec, streams: Streams, cache: Path | None = None) -> Annotations:
    """The annotations of `load_dataset`, without keeping the inputs in memory.

    Raises:
        DataError: as `load_dataset`.
    """
    unsplit = _unsplit(spec)
    if (supplied := _supplied.get(unsplit)) is not None:
        found = supplied.annotations
    elif is_source(spec):
        mapped = _mapped_pool(unsplit)
        place = cache_for(spec, cache)
        found = source_annotations(unsplit, place) if mapped is None else mapped.annotations
    else:
        labels = _read_pool_labels(unsplit, cache_for(spec, cache))
        found = Annotations(labels, form_of(spec).outputs)
    training, _ = split_pool(len(found), spec.validation, streams)
    return found.of(training)


@lru_cache(maxsize=2)
def _read_pool_labels(spec: DataSpec, cache: Path) -> npt.NDArray[np.int64]:
    # Once per process: checking MNIST's files takes as long as a short run without training.
    labels = read_labels(spec, cache, train=True)
    if spec.pool == "train_and_test":
        labels = np.concatenate([labels, read_labels(spec, cache, train=False)])
    return labels


def split_pool(
    pool: int, share: float, streams: Streams
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the samples to train on and of those held out, each in the order of the files.

    Raises:
        DataError: nothing would be left to train on.
    """
    count = held_out(pool, share)
    if count >= pool:
        raise DataError(f"data.validation: {share} of {pool} samples leaves none to train on")
    order = streams.generator("validation").permutation(pool) if count else np.arange(pool)
    return np.sort(order[count:]), np.sort(order[:count])


def supply_pool(spec: DataSpec, arrays: Arrays) -> None:
    """Use arrays from another process as the pool of ``spec`` in this one, which reads no files.

    Args:
        spec: a scenario's ``data`` section.
        arrays: the result of `pool_arrays` in the other process; nobody writes to them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        _supplied[_unsplit(spec)] = dataset_of_arrays(spec, arrays, None)


def pool_arrays(spec: DataSpec) -> Arrays:
    """The whole pool as arrays, for a process that has no access to the files."""
    return arrays_of(_pool(spec, None), whole=True)


def open_pool(spec: DataSpec, stored: Path) -> Dataset:
    """The pool that this process was given, or that another process stored on this machine.

    Raises:
        DataError: the stored data is gone.
    """
    if (supplied := _supplied.get(_unsplit(spec))) is not None:
        return supplied
    arrays = open_arrays(stored, check=False)
    if arrays is None:
        raise DataError(f"the data stored in {stored} is gone")
    return dataset_of_arrays(spec, arrays, stored)


def _unsplit(spec: DataSpec) -> DataSpec:
    """The settings that the pool depends on, without the partition and the held-out shares."""
    dealing = {"partition": Iid(), "validation": 0.0, "client_test": 0.0}
    return spec.model_copy(update=dealing | {"skew": None, "concept_shift": None})


def _pool(spec: DataSpec, cache: Path | None) -> Dataset:
    unsplit = _unsplit(spec)
    if (supplied := _supplied.get(unsplit)) is not None:
        return supplied
    if (mapped := _mapped_pool(unsplit)) is not None:
        return mapped
    if is_source(spec):
        return _source_pool(unsplit, cache_for(spec, cache))
    return _read_pool(unsplit, cache_for(spec, cache))


def _mapped_pool(spec: DataSpec) -> Dataset | None:
    """The pool that was stored for worker processes; None if it was not, or is gone."""
    mapped = _mapped.get((spec, data_digest(spec))) if _mapped else None
    return None if mapped is None or not mapped.stored or not mapped.stored.is_dir() else mapped


def _source_pool(spec: DataSpec, cache: Path) -> Dataset:
    fields = source_fields(spec, cache)
    nothing = {f"validation_{name}": fields[name][:0] for name in ("inputs", "labels")}
    return Dataset(name=spec.title, **fields, **nothing)


@lru_cache(maxsize=2)
def _read_pool(spec: DataSpec, cache: Path) -> Dataset:
    if spec.dataset != "mnist" or spec.root is not None or spec.storage != "auto":
        return convert_pool(spec, cache)
    # The packaged files never change, so their conversion is stored: later starts need not convert
    # them, and processes share one copy.
    folder = cache / "arrays" / f"mnist-{spec.normalize}-{spec.pool}-{_STORED_FORM}"
    arrays = open_arrays(folder)
    if arrays is not None:
        if made_from(arrays, spec, cache):
            return dataset_of_arrays(spec, arrays, folder)
        shutil.rmtree(folder, ignore_errors=True)
    pool = convert_pool(spec, cache)
    return store_pool(pool, folder) or pool


def stored_pool(spec: DataSpec, cache: Path | None = None) -> Path:
    """A folder that holds the whole pool as memory maps, for other processes to open.

    From then on this process uses the maps, too, and keeps no copy of its own.

    Raises:
        DataError: the cache folder cannot be written.
    """
    pool = _pool(spec, cache or cache_folder())
    if pool.stored is None:
        contents = arrays_of(pool)
        folder = (
            (cache or cache_folder()) / "arrays" / f"{_file_name(spec)}-{content_key(contents)}"
        )
        mapped = store_pool(pool, folder)
        if mapped is None:
            raise DataError(
                f"cannot store {spec.title} in {folder} for the worker processes; set "
                "AFL_SIM_CACHE to a folder that can be written"
            )
        _mapped[_unsplit(spec), data_digest(spec)] = mapped
        for forget in (forget_fields, forget_sources, forget_named, _read_pool.cache_clear):
            forget()
        return_freed_memory()
        return folder
    return pool.stored


def store_pool(pool: Dataset, folder: Path) -> Dataset | None:
    """Store a pool in ``folder`` and map it to memory; None if it cannot be stored."""
    arrays = arrays_of(pool)
    for _ in range(2):
        try:
            store_arrays(folder, arrays)
        except OSError:
            return None
        mapped = open_arrays(folder, check=False)
        if mapped is None:
            return None
        if holds(folder, arrays):
            fields = fields_of(mapped)
            # Nothing may refer to the old samples, not even an empty part of them.
            nothing = {f"validation_{name}": fields[name][:0] for name in ("inputs", "labels")}
            return replace(pool, **nothing, **fields, stored=folder)
        shutil.rmtree(folder, ignore_errors=True)  # another set was stored under this name
    return None


def dataset_of_arrays(spec: DataSpec, arrays: Arrays, folder: Path | None) -> Dataset:
    """The stored pool, with no samples held out."""
    fields = fields_of(arrays)
    if isinstance(spec.dataset, OwnDataset):
        know_form(spec.dataset, fields["form"])
    return Dataset(
        name=spec.title,
        validation_inputs=fields["inputs"][:0],
        validation_labels=fields["labels"][:0],
        stored=folder,
        **{"form": form_of(spec), **fields},
    )


def _file_name(spec: DataSpec) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in spec.title)


def data_scaling(spec: DataSpec) -> Scaling | None:
    """How a scenario's inputs are normalised; None for tokens, which are not.

    Args:
        spec: the scenario's ``data`` section.

    Raises:
        DataError: as for `load_dataset`.
    """
    place = cache_for(spec, None)
    if is_source(spec):
        return source_scaling(spec, place)
    train = pool = read_images(spec, place, train=True)[0]
    if spec.pool == "train_and_test":
        pool = torch.cat([train, read_images(spec, place, train=False)[0]])
    return scaling_of(spec, train, pool)
