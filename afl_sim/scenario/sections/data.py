"""What the ``data:`` section of a scenario may say: data set, partition, hold-out, normalisation.

Only the words are here. ``afl_sim.learning.data.datasets`` reads the files and
``afl_sim.learning.partition`` deals the samples out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from afl_sim.scenario.section import LaterSection
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.sections.partitions import Iid, PartitionSpec
from afl_sim.scenario.sections.skew import ConceptShift, FeatureSkew
from afl_sim.scenario.sections.speed_correlation import SpeedCorrelation


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


SHARED_SAMPLES = (
    "clients that draw their samples with replacement share them, so one would train on the test "
    "samples of another; expected 0, or a partition without replacement"
)


class DataSpec(LaterSection):
    """The ``data:`` section of a scenario."""

    _later = ("check", "storage", "skew", "concept_shift")

    dataset: Literal["mnist", "fashion_mnist", "kmnist", "emnist", "cifar10"] = Field(
        default="mnist",
        description="The data set. mnist comes with the package; the others need `root` or "
        "`download: true`.",
    )
    split: Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"] | None = Field(
        default=None,
        description="Which of the six data sets of EMNIST (null: balanced). Only for emnist.",
    )
    root: str | None = Field(
        default=None,
        min_length=1,
        description="Folder that holds your own copy in torchvision's layout, such as "
        "ROOT/FashionMNIST/raw/train-images-idx3-ubyte or ROOT/cifar-10-batches-py/data_batch_1. "
        "Relative to the scenario file.",
    )
    download: bool = Field(
        default=False,
        description="Whether torchvision may download missing files, into `root` or the cache. "
        "Without this nothing is downloaded.",
    )
    check: bool = Field(
        default=True,
        description="Whether CIFAR-10's files must have the published MD5 sums. false: other "
        "files in the same format are read, too, such as a part of the data set. Only for "
        "cifar10.",
    )
    pool: Literal["train", "train_and_test"] = Field(
        default="train",
        description="The samples that are distributed over the clients: the training set, or the "
        "training set followed by the test set (which then cannot be used for evaluation).",
    )
    partition: PartitionSpec = Field(
        default_factory=Iid, description="How the samples are distributed over the clients."
    )
    speed_correlation: SpeedCorrelation | None = Field(
        default=None,
        description="Correlation between the speed of clients and their data; null: the parts of "
        "the partition are assigned at random. With `replacement: true` every client's samples "
        "are then drawn once at the start, in order to count them.",
    )
    skew: FeatureSkew | None = Field(
        default=None,
        description="How the inputs of clients differ from each other (feature skew); null: not.",
    )
    concept_shift: ConceptShift | None = Field(
        default=None,
        description="How the labels of equal inputs differ between clients; null: not.",
    )
    validation: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the pool that is held out for tuning, drawn with the scenario's "
        "seed before the partition (no unit).",
    )
    client_test: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of every client's samples that is kept for tests and not used for "
        "training, rounded up for each client and drawn with the scenario's seed after the "
        "partition; `evaluation.on: client_test` uses it (no unit).",
    )
    storage: Literal["auto", "float32", "uint8"] = Field(
        default="auto",
        description="How images are kept in memory. float32: normalised once; uint8: as in the "
        "files, in a quarter of the memory, and each batch is normalised when it is used. auto: "
        "float32 if all of them fit into a quarter of this machine's memory so. No result depends "
        "on it.",
    )
    normalize: Literal["standard", "unit", "centred", "raw", "pixelwise", "unit_norm"] = Field(
        default="standard",
        description="standard: the training set's mean and standard deviation per channel; unit: "
        "[0, 1]; centred: [-0.5, 0.5]; raw: 0 to 255; pixelwise: (x - mean) / (std + 0.001) for "
        "each pixel over the pool (held-out shares included), x in [0, 1]; unit_norm: each image "
        "scaled to L2 norm 1.",
    )

    @field_validator("root")
    @classmethod
    def _root_is_beside_the_file(cls, root: str | None, info: ValidationInfo) -> str | None:
        base = getattr(info.context, "base", None)
        if root is None or base is None:
            return root
        # Written out whole, so that the resolved scenario in a run folder still finds it.
        return str((base / Path(root).expanduser()).absolute())

    @model_validator(mode="after")
    def _split_is_emnists(self) -> Self:
        if self.split is not None and self.dataset != "emnist":
            raise ValueError(f"split is for dataset: emnist; {self.dataset} has none")
        return self

    @model_validator(mode="after")
    def _check_is_cifars(self) -> Self:
        if not self.check and self.dataset != "cifar10":
            raise ValueError(
                "check: false is for dataset: cifar10; no checksums are compared for the files "
                f"of {self.dataset}, except those of the package"
            )
        return self

    @property
    def info(self) -> DatasetInfo:
        """Shape, classes and published sizes of the data set."""
        if self.dataset == "emnist":
            return EMNIST_SPLITS[self.split or "balanced"]
        return DATASETS[self.dataset]

    @property
    def train_samples(self) -> int:
        """Samples the partition deals out, if the files are the published ones."""
        pool = self.info.train + (self.info.test if self.pool == "train_and_test" else 0)
        return pool - held_out(pool, self.validation)

    def problems(self, clients: int) -> Iterator[Problem]:
        """What cannot work with this many clients, as (key path inside ``data``, message).

        With a `root` of the user's own the number of samples is known only once it is read, so
        only `make_partition` can check the totals.
        """
        total = self.train_samples if self.root is None else None
        if total is not None and total < 1:
            yield ("validation",), f"a share of {self.validation} leaves no samples for training"
            return
        for path, message in self.partition.check(clients, total, self.info.classes):
            yield ("partition", *path), message
        shared = getattr(self.partition, "replacement", False)
        if self.client_test and shared:
            yield ("client_test",), SHARED_SAMPLES
        for name in ("skew", "concept_shift"):
            if shared and getattr(self, name) is not None:
                yield (
                    (name,),
                    "a sample would have to look different to each of the clients that share it; "
                    "expected a partition without replacement",
                )
        if self.skew is not None and self.storage == "uint8":
            yield (
                ("storage",),
                "inputs that differ between clients are not those of the files; expected float32",
            )


def held_out(pool: int, share: float) -> int:
    """Number of samples a share of a pool comes to."""
    return round(pool * share)
