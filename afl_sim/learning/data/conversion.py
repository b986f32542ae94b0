"""From the 8-bit images of a published data set to a `Dataset`."""

from __future__ import annotations

from pathlib import Path

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.dataset_files import read_images
from afl_sim.learning.data.form import form_of
from afl_sim.learning.data.inputs import Inputs, RawInputs, Scaling, stays_raw
from afl_sim.learning.data.normalization import normalization
from afl_sim.scenario.sections.data import DataSpec


def convert_pool(spec: DataSpec, cache: Path) -> Dataset:
    """Read a published data set, and normalise it unless it stays as in its files.

    Args:
        spec: the scenario's ``data`` section.
        cache: folder for unpacked and downloaded files.

    Raises:
        DataError: the files are missing or damaged, or could not be downloaded.
    """
    train, labels = read_images(spec, cache, train=True)
    test, test_labels = read_images(spec, cache, train=False)
    inputs: Inputs
    test_inputs: Inputs
    raw = stays_raw(spec.storage, train.numel() + test.numel())
    if spec.pool == "train_and_test":
        everything = torch.cat([train, test])
        scaling = scaling_of(spec, train, everything)
        inputs = RawInputs(everything, scaling) if raw else scaling.of(everything)
        labels, test_inputs = torch.cat([labels, test_labels]), inputs[len(train) :]
    else:
        scaling = scaling_of(spec, train, train)
        inputs, test_inputs = (
            RawInputs(part, scaling) if raw else scaling.of(part) for part in (train, test)
        )
    return Dataset(
        name=spec.title,
        inputs=inputs,
        labels=labels,
        validation_inputs=inputs[:0],
        validation_labels=labels[:0],
        test_inputs=test_inputs,
        test_labels=test_labels,
        form=form_of(spec),
    )


def scaling_of(spec: DataSpec, train: Tensor, pool: Tensor) -> Scaling:
    """How 8-bit images are normalised.

    Args:
        spec: the scenario's ``data`` section.
        train: uint8 (n, C, H, W), the published training set.
        pool: uint8 (n, C, H, W), the samples that clients get.
    """
    shift, scale = normalization(spec.normalize, train, pool)
    return Scaling(shift, scale, spec.normalize == "unit_norm", of_bytes=True)
