"""The published data sets that have a name here, and what is known before their files are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NamedDataset = Literal["mnist", "fashion_mnist", "kmnist", "emnist", "cifar10"]


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before its files are read.

    Attributes:
        title: the name people use.
        input_shape: one sample as (channels, height, width).
        classes: number of labels.
        train, test: samples in the published files.
    """

    title: str
    input_shape: tuple[int, int, int]
    classes: int
    train: int
    test: int


DATASETS: dict[str, DatasetInfo] = {
    "mnist": DatasetInfo("MNIST", (1, 28, 28), 10, 60_000, 10_000),
    "fashion_mnist": DatasetInfo("FashionMNIST", (1, 28, 28), 10, 60_000, 10_000),
    "kmnist": DatasetInfo("KMNIST", (1, 28, 28), 10, 60_000, 10_000),
    "emnist": DatasetInfo("EMNIST", (1, 28, 28), 47, 112_800, 18_800),
    "cifar10": DatasetInfo("CIFAR10", (3, 32, 32), 10, 50_000, 10_000),
}

EMNIST_SPLITS: dict[str, DatasetInfo] = {
    "balanced": DATASETS["emnist"],
    "byclass": DatasetInfo("EMNIST byclass", (1, 28, 28), 62, 697_932, 116_323),
    "bymerge": DatasetInfo("EMNIST bymerge", (1, 28, 28), 47, 697_932, 116_323),
    "letters": DatasetInfo("EMNIST letters", (1, 28, 28), 26, 124_800, 20_800),
    "digits": DatasetInfo("EMNIST digits", (1, 28, 28), 10, 240_000, 40_000),
    "mnist": DatasetInfo("EMNIST mnist", (1, 28, 28), 10, 60_000, 10_000),
}
