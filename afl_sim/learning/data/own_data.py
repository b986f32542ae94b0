"""Samples of a source as the tensors of a data set: normalised now, or batch by batch."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from afl_sim.errors import ScenarioError
from afl_sim.lazy import Tensor, torch
from afl_sim.learning.data.annotations import Annotations, annotations_of
from afl_sim.learning.data.float_moments import float_moments
from afl_sim.learning.data.inputs import Inputs, RawInputs, Scaling, stays_raw
from afl_sim.learning.data.mapped_files import mapped_file
from afl_sim.learning.data.normalization import normalization
from afl_sim.learning.data.sources.named import read_named
from afl_sim.learning.data.sources.published import PUBLISHED
from afl_sim.learning.data.sources.reading import read_source
from afl_sim.learning.data.sources.source import Array, Source
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.datasets import OwnDataset


def is_source(spec: DataSpec) -> bool:
    """Whether a scenario's data is read as a `Source`: own data, and most published sets."""
    return isinstance(spec.dataset, OwnDataset) or spec.dataset in PUBLISHED


def source_fields(spec: DataSpec, cache: Path) -> dict[str, Any]:
    """The fields of a `Dataset` with the samples of a source, of which none are held out.

    Args:
        spec: the scenario's ``data`` section, for which `is_source` holds.
        cache: where files are downloaded to.

    Raises:
        InputError: the data is missing, damaged, or not what the block says; or it cannot be
            normalised or stored as ``spec`` says.
    """
    return _fields(spec.normalize, spec.storage, _source(spec, cache))


def source_annotations(spec: DataSpec, cache: Path) -> Annotations:
    """What is needed to deal out the samples of a source; nothing is normalised for it.

    Args, Raises: as for `source_fields`.
    """
    source = _source(spec, cache)
    _check(spec.normalize, spec.storage, source)
    train = source.train
    return annotations_of(train.labels, source.form, train.owners, source.owner_names)


def source_scaling(spec: DataSpec, cache: Path) -> Scaling | None:
    """How the inputs of a source are normalised; None for tokens, which are not."""
    source = _source(spec, cache)
    _check(spec.normalize, spec.storage, source)
    return _scaling(spec.normalize, source)


def _source(spec: DataSpec, cache: Path) -> Source:
    if isinstance(spec.dataset, OwnDataset):
        return read_source(spec.dataset)
    return read_named(spec, cache)


def forget_fields() -> None:
    """Keep no samples in memory any more."""
    _fields.cache_clear()


@lru_cache(maxsize=2)
def _fields(normalize: str, storage: str, source: Source) -> dict[str, Any]:
    train, test = source.train, source.test
    _check(normalize, storage, source)
    scaling = _scaling(normalize, source)
    raw = stays_raw(storage, train.inputs.size + test.inputs.size)
    inputs, test_inputs = (_inputs(part.inputs, scaling, raw) for part in (train, test))
    return {
        "inputs": inputs,
        "labels": _tensor(train.labels),
        "test_inputs": test_inputs,
        "test_labels": _tensor(test.labels),
        "form": source.form,
        "owners": None if train.owners is None else _tensor(train.owners),
        "owner_names": source.owner_names,
        "weights": None if train.weights is None else _tensor(train.weights),
    }


def _inputs(found: Array, scaling: Scaling | None, raw: bool) -> Inputs:
    if scaling is None:
        return _tensor(found)
    if raw:
        return RawInputs(_tensor(found), scaling, file=mapped_file(found))
    return scaling.of(_tensor(found))


def _tensor(array: Array) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(np.ascontiguousarray(array))


def _check(normalize: str, storage: str, source: Source) -> None:
    """Refuse a normalisation and a storage that such inputs do not have.

    Raises:
        ScenarioError: they are for 8-bit images, and the inputs are none.
    """
    if source.train.inputs.dtype == np.uint8:
        return
    if normalize not in ("standard", "raw"):
        raise ScenarioError(
            f"data.normalize: {normalize} is for 8-bit images, and the inputs are "
            f"{_told(source)}; expected standard or raw"
        )
    if storage == "uint8":
        raise ScenarioError(
            f"data.storage: uint8 is for 8-bit images, and the inputs are {_told(source)}; "
            "expected auto or float32"
        )


def _scaling(normalize: str, source: Source) -> Scaling | None:
    """How inputs are normalised; None for tokens, which are not."""
    inputs = source.train.inputs
    if inputs.dtype == np.uint8:
        pixels = _tensor(inputs)
        shift, scale = normalization(normalize, pixels, pixels)
        return Scaling(shift, scale, normalize == "unit_norm", of_bytes=True)
    if source.form.vocabulary is not None:
        return None
    groups = inputs.shape[1]
    shape = (1, groups, *(1 for _ in inputs.shape[2:]))
    if normalize == "raw":
        return Scaling(torch.zeros(shape), torch.ones(shape))
    mean, deviation = float_moments(inputs, groups)
    divisor = np.where(deviation > 0, deviation, 1.0)
    return Scaling(
        torch.from_numpy(mean.astype(np.float32)).reshape(shape),
        torch.from_numpy(divisor.astype(np.float32)).reshape(shape),
    )


def _told(source: Source) -> str:
    return "tokens" if source.form.vocabulary is not None else f"{source.train.inputs.dtype}"
