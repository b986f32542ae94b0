"""A data set as arrays by name, for other processes, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.lazy import torch
from afl_sim.learning.data.arrays import Arrays
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.data.inputs import Inputs, RawInputs, Scaling
from afl_sim.learning.data.mapped_files import MappedFile
from afl_sim.scenario.sections.data import DATASETS

_INPUTS = ("inputs", "test_inputs")
_OPTIONAL = ("owners", "weights")
_NAMES, _FORM, _ELSEWHERE = "owner_names", "form", "_file"  # in names of arrays


def arrays_of(pool: Dataset, whole: bool = False) -> Arrays:
    """A pool as arrays by name, which `fields_of` turns into its fields.

    Args:
        pool: the pool.
        whole: whether arrays that are mapped from files of the user's are among them; else it is
            told where they lie.
    """
    arrays = {"labels": pool.labels.numpy(), "test_labels": pool.test_labels.numpy()}
    for name in _OPTIONAL:
        if (found := getattr(pool, name)) is not None:
            arrays[name] = found.numpy()
    if pool.owner_names:
        arrays[_NAMES] = _text_array(json.dumps(pool.owner_names))
    if pool.name not in DATASETS:
        arrays[_FORM] = _text_array(json.dumps(asdict(pool.form)))
    for name in _INPUTS:
        inputs: Inputs = getattr(pool, name)
        if isinstance(inputs, RawInputs):
            assert inputs.rows is None  # a pool is whole
            arrays |= {
                "shift": inputs.scaling.shift.numpy(),
                "scale": inputs.scaling.scale.numpy(),
                "unit_norm": np.array(inputs.scaling.unit_norm),
            }
            if inputs.file is not None and not whole:
                arrays[f"{name}{_ELSEWHERE}"] = inputs.file.encoded()
            else:
                arrays[name] = inputs.raw.numpy()
        else:
            arrays[name] = inputs.numpy()
    return arrays


def _text_array(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def fields_of(arrays: Arrays) -> dict[str, Any]:
    """The fields of a `Dataset` that `arrays_of` has packed.

    Raises:
        DataError: a file of the user's is gone or has changed.
    """
    fields: dict[str, Any] = {}
    files = {}
    for name, array in arrays.items():
        if name == _NAMES:
            fields["owner_names"] = tuple(json.loads(bytes(array)))
        elif name == _FORM:
            form = json.loads(bytes(array))
            fields["form"] = SampleForm(**{**form, "input_shape": tuple(form["input_shape"])})
        elif name.endswith(_ELSEWHERE):
            found = MappedFile.decoded(array)
            files[name.removesuffix(_ELSEWHERE)] = found
            fields[name.removesuffix(_ELSEWHERE)] = torch.from_numpy(found.open())
        else:
            fields[name] = torch.from_numpy(array)
    if "shift" not in fields:
        return fields
    scaling = Scaling(fields.pop("shift"), fields.pop("scale"), bool(fields.pop("unit_norm")))
    raw = {name: RawInputs(fields[name], scaling, file=files.get(name)) for name in _INPUTS}
    return fields | raw
