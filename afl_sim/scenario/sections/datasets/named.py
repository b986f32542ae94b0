"""The published data sets that have a name here, and what is known before their files are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NamedDataset = Literal[
    "mnist",
    "fashion_mnist",
    "kmnist",
    "emnist",
    "cifar10",
    "cifar100",
    "svhn",
    "qmnist",
    "usps",
    "stl10",
    "gtsrb",
    "celeba",
]

WITH_SUMS = ("cifar10", "cifar100", "svhn", "usps", "stl10", "celeba")
"""The data sets whose files have published MD5 sums."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before its files are read.

    Attributes:
        title: the name people use.
        input_shape: one sample as (channels, height, width).
        classes: number of labels.
        train, test: samples in the published files.
        target: what a label is: one class, or any number of them.
    """

    title: str
    input_shape: tuple[int, int, int]
    classes: int
    train: int
    test: int
    target: Literal["class", "several"] = "class"


DATASETS: dict[str, DatasetInfo] = {
    "mnist": DatasetInfo("MNIST", (1, 28, 28), 10, 60_000, 10_000),
    "fashion_mnist": DatasetInfo("FashionMNIST", (1, 28, 28), 10, 60_000, 10_000),
    "kmnist": DatasetInfo("KMNIST", (1, 28, 28), 10, 60_000, 10_000),
    "emnist": DatasetInfo("EMNIST", (1, 28, 28), 47, 112_800, 18_800),
    "cifar10": DatasetInfo("CIFAR10", (3, 32, 32), 10, 50_000, 10_000),
    "cifar100": DatasetInfo("CIFAR100", (3, 32, 32), 100, 50_000, 10_000),
    "svhn": DatasetInfo("SVHN", (3, 32, 32), 10, 73_257, 26_032),
    "qmnist": DatasetInfo("QMNIST", (1, 28, 28), 10, 60_000, 60_000),
    "usps": DatasetInfo("USPS", (1, 16, 16), 10, 7_291, 2_007),
    "stl10": DatasetInfo("STL10", (3, 96, 96), 10, 5_000, 8_000),
    "gtsrb": DatasetInfo("GTSRB", (3, 32, 32), 43, 26_640, 12_630),
    "celeba": DatasetInfo("CelebA", (3, 84, 84), 40, 162_770, 19_962, "several"),
}

EMNIST_SPLITS: dict[str, DatasetInfo] = {
    "balanced": DATASETS["emnist"],
    "byclass": DatasetInfo("EMNIST byclass", (1, 28, 28), 62, 697_932, 116_323),
    "bymerge": DatasetInfo("EMNIST bymerge", (1, 28, 28), 47, 697_932, 116_323),
    "letters": DatasetInfo("EMNIST letters", (1, 28, 28), 26, 124_800, 20_800),
    "digits": DatasetInfo("EMNIST digits", (1, 28, 28), 10, 240_000, 40_000),
    "mnist": DatasetInfo("EMNIST mnist", (1, 28, 28), 10, 60_000, 10_000),
}
