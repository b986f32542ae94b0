"""What the ``data:`` section of a scenario may say: data set, partition, hold-out, normalisation.

Only the words are here. ``afl_sim.learning.data.datasets`` reads the files and
``afl_sim.learning.partition`` deals the samples out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from afl_sim.scenario.section import LaterSection
from afl_sim.scenario.sections.datasets import (
    DATASETS,
    EMNIST_SPLITS,
    WITH_SUMS,
    DatasetChoice,
    DatasetInfo,
    OwnDataset,
)
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.sections.partitions import Iid, PartitionSpec
from afl_sim.scenario.sections.skew import ConceptShift, FeatureSkew
from afl_sim.scenario.sections.speed_correlation import SpeedCorrelation

SHARED_SAMPLES = (
    "clients that draw their samples with replacement share them, so one would train on the test "
    "samples of another; expected 0, or a partition without replacement"
)


class DataSpec(LaterSection):
    """The ``data:`` section of a scenario."""

    _later = ("check", "storage", "skew", "concept_shift")

    dataset: DatasetChoice = Field(
        default="mnist",
        description="The data set: mnist, fashion_mnist, kmnist, emnist, cifar10, cifar100, svhn, "
        "qmnist, usps, stl10, gtsrb or celeba; or a block for your own data. mnist comes with the "
        "package; the others with a name need `root` or `download: true`.",
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
        description="Whether files must have the published MD5 sums. false: other files in the "
        "same format are read, too, such as a part of the data set. Only for cifar10, cifar100, "
        "svhn, usps, stl10 and celeba.",
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
        description="How the inputs of clients differ from each other (feature skew); null: not. "
        "Images are then kept as float32, see `storage`.",
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
        "on it. `skew` needs float32, because its inputs are not those of the files.",
    )
    normalize: Literal["standard", "unit", "centred", "raw", "pixelwise", "unit_norm"] = Field(
        default="standard",
        description="standard: the training set's mean and standard deviation per channel; unit: "
        "[0, 1]; centred: [-0.5, 0.5]; raw: 0 to 255; pixelwise: (x - mean) / (std + 0.001) for "
        "each pixel over the pool (held-out shares included), x in [0, 1]; unit_norm: each image "
        "scaled to L2 norm 1. Inputs that are numbers and no 8-bit images take standard (per "
        "channel of an image, or else per feature) and raw; tokens are never normalised.",
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
    def _own_data_has_its_own_keys(self) -> Self:
        if not isinstance(self.dataset, OwnDataset):
            return self
        for key in ("root", "split"):
            if getattr(self, key) is not None:
                raise ValueError(f"{key} is for data sets with a name; expected no {key} here")
        for key, expected in (("download", "false"), ("pool", "train")):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is for data sets with a name; expected {key}: {expected}")
        return self

    @model_validator(mode="after")
    def _split_is_emnists(self) -> Self:
        if self.split is not None and self.dataset != "emnist":
            raise ValueError(f"split is for dataset: emnist; {self.dataset} has none")
        return self

    @model_validator(mode="after")
    def _check_is_for_published_sums(self) -> Self:
        if not self.check and self.dataset not in WITH_SUMS:
            raise ValueError(
                f"check: false is for dataset: {', '.join(WITH_SUMS)}; no checksums are compared "
                f"for the files of {self.title}, except those of the package"
            )
        return self

    @property
    def info(self) -> DatasetInfo:
        """Shape, classes and published sizes of the data set."""
        assert isinstance(self.dataset, str), "own data is known only once it is read"
        if self.dataset == "emnist":
            return EMNIST_SPLITS[self.split or "balanced"]
        return DATASETS[self.dataset]

    @property
    def title(self) -> str:
        """What messages and listings call the data."""
        return self.dataset.title if isinstance(self.dataset, OwnDataset) else self.dataset

    @property
    def sizes_are_known(self) -> bool:
        """Whether the files are the published ones, so that the number of samples is known."""
        return isinstance(self.dataset, str) and self.root is None

    @property
    def train_samples(self) -> int:
        """Samples the partition deals out, if the files are the published ones."""
        pool = self.info.train + (self.info.test if self.pool == "train_and_test" else 0)
        return pool - held_out(pool, self.validation)

    def problems(self, clients: int) -> Iterator[Problem]:
        """What cannot work with this many clients, as (key path inside ``data``, message).

        With files of the user's own the number of samples is known only once they are read, so
        only `make_partition` can check the totals.
        """
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
        if isinstance(self.dataset, OwnDataset):
            return
        total = self.train_samples if self.root is None else None
        if total is not None and total < 1:
            yield ("validation",), f"a share of {self.validation} leaves no samples for training"
            return
        for path, message in self.partition.check(clients, total, self.info.classes):
            yield ("partition", *path), message


def held_out(pool: int, share: float) -> int:
    """Number of samples a share of a pool comes to."""
    return round(pool * share)


__all__ = [
    "DATASETS",
    "EMNIST_SPLITS",
    "SHARED_SAMPLES",
    "DataSpec",
    "DatasetInfo",
    "held_out",
]
