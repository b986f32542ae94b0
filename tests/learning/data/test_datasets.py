"""Data sets as tensors: sizes, labels, pools, held-out samples, and their section of a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from pydantic import ValidationError

from afl_sim.errors import DataError
from afl_sim.learning.data import dataset_files
from afl_sim.learning.data.datasets import load_annotations, load_dataset, split_pool
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.data.sources.published import PUBLISHED
from afl_sim.scenario.sections.data import DATASETS, DataSpec
from afl_sim.streams import Streams


def test_mnist_is_one_normalised_tensor_shared_by_the_process(cache: Path) -> None:
    data = load_dataset(DataSpec(), Streams(1), cache)
    assert data.inputs.shape == (60_000, 1, 28, 28)
    assert data.inputs.dtype == torch.float32
    assert data.labels.dtype == torch.int64
    assert data.test_inputs.shape == (10_000, 1, 28, 28)
    assert data.form == SampleForm((1, 28, 28), 10)
    assert torch.bincount(data.labels).tolist() == (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    assert len(data.validation_labels) == len(data.validation_inputs) == 0
    again = load_dataset(DataSpec(), Streams(2), cache)
    assert again.inputs.data_ptr() == data.inputs.data_ptr()


def test_standard_normalisation_is_the_well_known_mean_and_deviation(cache: Path) -> None:
    data = load_dataset(DataSpec(), Streams(1), cache)
    black, white = data.inputs.min().item(), data.inputs.max().item()
    assert black == pytest.approx(-0.1307 / 0.3081, abs=3e-4)
    assert white == pytest.approx((1 - 0.1307) / 0.3081, abs=3e-4)


@pytest.mark.parametrize("pool", ["train", "train_and_test"])
@pytest.mark.parametrize("validation", [0.0, 0.1])
def test_labels_alone_are_those_of_the_whole_data_set(
    cache: Path, pool: str, validation: float
) -> None:
    spec = DataSpec.model_validate({"pool": pool, "validation": validation, "normalize": "raw"})
    data = load_dataset(spec, Streams(3), cache)
    labels = load_annotations(spec, Streams(3), cache).labels
    assert labels.dtype == np.int64
    assert np.array_equal(labels, data.labels.numpy())
    total = 60_000 if pool == "train" else 70_000
    assert len(data.labels) == total - round(total * validation) == spec.train_samples
    assert len(data.validation_inputs) == len(data.validation_labels) == round(total * validation)
    assert len(data.test_labels) == 10_000


def test_the_reader_is_torchvisions(cache: Path) -> None:
    data = load_dataset(DataSpec(normalize="raw"), Streams(1), cache)
    theirs = torchvision.datasets.MNIST(cache, train=True)
    assert torch.equal(data.inputs[:, 0].to(torch.uint8), theirs.data)
    assert torch.equal(data.labels, theirs.targets)


def test_pooling_appends_the_test_set(cache: Path) -> None:
    data = load_dataset(DataSpec(pool="train_and_test", normalize="raw"), Streams(1), cache)
    assert torch.equal(data.inputs[60_000:], data.test_inputs)
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
        ({"check": False}, "check: false is for dataset: cifar10, cifar100"),
    ],
)
def test_wrong_sections_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec.model_validate(section)


def test_the_published_sizes_are_those_of_the_files(cache: Path) -> None:
    assert DataSpec().train_samples == len(load_annotations(DataSpec(), Streams(1), cache))
    assert set(DATASETS) == {*dataset_files._READERS, *PUBLISHED}


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
