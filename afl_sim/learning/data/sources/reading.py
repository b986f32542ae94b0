"""Reads a block of ``data.dataset``, once for each process and content."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.data.sources.contents import content_digest
from afl_sim.learning.data.sources.factory import find_factory, read_factory
from afl_sim.learning.data.sources.files import read_files
from afl_sim.learning.data.sources.image_folder import read_image_folder
from afl_sim.learning.data.sources.leaf import read_leaf
from afl_sim.learning.data.sources.source import Source
from afl_sim.scenario.sections.datasets import (
    FactoryDataset,
    FilesDataset,
    ImageFolderDataset,
    LeafDataset,
    OwnDataset,
)

_forms: dict[OwnDataset, SampleForm] = {}


def read_source(spec: OwnDataset) -> Source:
    """The samples of a block. They are read again only if their files have changed.

    Raises:
        DataError: they are missing, damaged, or not what the block says.
        ScenarioError: a factory cannot be found.
    """
    if isinstance(spec, FactoryDataset):
        source = _read_factory(spec, find_factory(spec.kind))
    else:
        source = _read(spec, content_digest(spec))
    know_form(spec, source.form)
    return source


def forget_sources() -> None:
    """Keep no samples in memory any more. Their forms stay known."""
    _read.cache_clear()
    _read_factory.cache_clear()


def know_form(spec: OwnDataset, form: SampleForm) -> None:
    """State the form of samples that another process has read."""
    _forms[spec] = form


def own_form(spec: OwnDataset) -> SampleForm:
    """The form of a block's samples, which are read if that has not happened yet.

    Raises:
        InputError: as `read_source`.
    """
    return _forms.get(spec) or read_source(spec).form


@lru_cache(maxsize=2)
def _read(spec: OwnDataset, content: str) -> Source:
    if isinstance(spec, FilesDataset):
        return read_files(spec)
    if isinstance(spec, LeafDataset):
        return read_leaf(spec)
    assert isinstance(spec, ImageFolderDataset)
    return read_image_folder(spec)


@lru_cache(maxsize=2)
def _read_factory(spec: FactoryDataset, factory: Callable[..., Any]) -> Source:
    return read_factory(spec, factory)
