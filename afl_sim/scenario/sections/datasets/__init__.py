"""What ``data.dataset`` may say: the name of a published set, or a block for one's own data."""

from afl_sim.scenario.sections.datasets.blocks import (
    LARGEST_VOCABULARY,
    FactoryDataset,
    FilesDataset,
    ImageFolderDataset,
    LeafDataset,
    OwnDataset,
)
from afl_sim.scenario.sections.datasets.choice import DatasetChoice
from afl_sim.scenario.sections.datasets.named import (
    DATASETS,
    EMNIST_SPLITS,
    WITH_SUMS,
    DatasetInfo,
    NamedDataset,
)

__all__ = [
    "DATASETS",
    "EMNIST_SPLITS",
    "LARGEST_VOCABULARY",
    "WITH_SUMS",
    "DatasetChoice",
    "DatasetInfo",
    "FactoryDataset",
    "FilesDataset",
    "ImageFolderDataset",
    "LeafDataset",
    "NamedDataset",
    "OwnDataset",
]
