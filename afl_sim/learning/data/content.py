"""The content of a user's own data, which is a part of a run's identity."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from afl_sim.learning.data.arrays import content_key
from afl_sim.learning.data.dataset_files import files_read
from afl_sim.learning.data.sources.contents import content_digest, files_digest
from afl_sim.learning.data.sources.factory import find_factory
from afl_sim.learning.data.sources.named import named_files
from afl_sim.learning.data.sources.published import PUBLISHED
from afl_sim.learning.data.sources.reading import read_source
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.datasets import FactoryDataset, OwnDataset


def data_digest(spec: DataSpec) -> str | None:
    """16 hex digits that identify the content of a user's own data.

    Of files it is the digest of all that are read, wherever they lie. Of a factory it is that of
    the samples that it gives. The package's own data and downloaded files have none.

    Args:
        spec: the scenario's ``data`` section.

    Raises:
        InputError: the data is missing, or a factory fails.
    """
    if isinstance(spec.dataset, FactoryDataset):
        return _given_digest(spec.dataset, find_factory(spec.dataset.kind))
    if isinstance(spec.dataset, OwnDataset):
        return content_digest(spec.dataset)
    if spec.root is None:
        return None
    if spec.title in PUBLISHED:
        return files_digest(named_files(spec, Path(spec.root).expanduser()))
    return files_digest((path.name, path) for path in files_read(spec))


@lru_cache(maxsize=256)
def _given_digest(spec: FactoryDataset, factory: Callable[..., Any]) -> str:
    """The digest of what a function gives, which is known when the samples are forgotten."""
    source = read_source(spec)
    arrays: dict[str, Any] = {}
    for part, samples in (("train", source.train), ("test", source.test)):
        for name in ("inputs", "labels", "owners", "weights"):
            if (found := getattr(samples, name)) is not None:
                arrays[f"{part} {name}"] = found
    return content_key(arrays)
