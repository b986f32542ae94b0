"""Published data sets with a name, found, checked, and downloaded if the scenario says so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.mnist_cache import locked
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.data.sources.contents import files_digest
from afl_sim.learning.data.sources.published import PUBLISHED, Published
from afl_sim.learning.data.sources.source import Ints, Source, SourcePart
from afl_sim.scenario.sections.data import DataSpec


def read_named(spec: DataSpec, cache: Path) -> Source:
    """The samples of one of the data sets in `PUBLISHED`.

    Args:
        spec: the scenario's ``data`` section.
        cache: where files are downloaded to if there is no ``root``.

    Raises:
        DataError: files are missing or damaged, or could not be downloaded.
    """
    if spec.root is None and not spec.download:
        raise DataError(
            f"{spec.info.title} does not come with the package: set data.root to a folder that "
            f"holds {_first_file(spec)}, or data.download: true to download it into {cache}"
        )
    root = cache if spec.root is None else Path(spec.root).expanduser()
    try:
        return _checked(spec, root)
    except Exception as error:  # with a damaged file a reader may raise any exception
        if not spec.download:
            raise _unreadable(spec, root, error) from error
    try:
        with locked(root):
            _download(spec, root)
        return _checked(spec, root)
    except Exception as error:
        raise _unreadable(spec, root, error) from error


def named_files(spec: DataSpec, root: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of each file of a data set in `PUBLISHED` that is there."""
    for name in dict.fromkeys(_names(spec)):
        path = root / name
        if path.is_dir():
            for inside in sorted(path.rglob("*")):
                if inside.is_file():
                    yield inside.relative_to(root).as_posix(), inside
        elif path.is_file():
            yield name, path


def _names(spec: DataSpec) -> tuple[str, ...]:
    published = PUBLISHED[spec.title]
    return (*published.files(True), *published.files(False))


def _checked(spec: DataSpec, root: Path) -> Source:
    for name in _names(spec):
        if not (root / name).exists():
            raise FileNotFoundError(f"{root / name} was not found")
    if spec.check:
        _check_sums(spec, root)
    stamp = files_digest(named_files(spec, root))
    return _read(spec.title, _form(spec), root, spec.pool == "train_and_test", stamp)


def _form(spec: DataSpec) -> SampleForm:
    return SampleForm(spec.info.input_shape, spec.info.classes, spec.info.target)


def forget_named() -> None:
    """Keep no samples in memory any more."""
    _read.cache_clear()


@lru_cache(maxsize=2)
def _read(name: str, form: SampleForm, root: Path, pooled: bool, content: str) -> Source:
    train, test = (PUBLISHED[name].read(root, part) for part in (True, False))
    for part in (train, test):
        _check_part(part, form)
    owners = [part.owners for part in (train, test) if part.owners is not None]
    names: tuple[str, ...] = ()
    if owners:
        known = list(dict.fromkeys(np.concatenate([np.unique(each) for each in owners]).tolist()))
        names = tuple(map(str, known))
        train, test = (
            SourcePart(part.inputs, part.labels, _places(part.owners, known))
            for part in (train, test)
            if part.owners is not None
        )
    if pooled:
        train = _joined(train, test)
    return Source(train, test, form, names)


def _places(owners: Ints, known: list[int]) -> Ints:
    order = {owner: place for place, owner in enumerate(known)}
    different, codes = np.unique(owners, return_inverse=True)
    return np.array([order[owner] for owner in different.tolist()], dtype=np.int64)[codes]


def _joined(train: SourcePart, test: SourcePart) -> SourcePart:
    owners = None
    if train.owners is not None and test.owners is not None:
        owners = np.concatenate([train.owners, test.owners])
    inputs = np.concatenate([train.inputs, test.inputs])
    return SourcePart(inputs, np.concatenate([train.labels, test.labels]), owners)


def _check_part(part: SourcePart, form: SampleForm) -> None:
    if len(part.inputs) != len(part.labels):
        raise ValueError(f"{len(part.inputs)} images with {len(part.labels)} labels")
    if not len(part.labels):
        raise ValueError("it holds no samples")
    if part.inputs.shape[1:] != form.input_shape:
        raise ValueError(f"images of {part.inputs.shape[1:]}, expected {form.input_shape}")
    if form.target == "class":
        low, high = int(part.labels.min()), int(part.labels.max())
        if low < 0 or high >= form.outputs:
            raise ValueError(f"labels from {low} to {high}, expected 0 to {form.outputs - 1}")


def _torchvisions(published: Published) -> Any:
    import torchvision.datasets

    return getattr(torchvision.datasets, published.reader)


def _check_sums(spec: DataSpec, root: Path) -> None:
    published = PUBLISHED[spec.title]
    sums = published.sums(_torchvisions(published))
    for name in _names(spec):
        expected = sums.get(Path(name).name)
        if expected is None or not (root / name).is_file():
            continue
        with open(root / name, "rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != expected:
            raise _OtherFileError(f"{name} has the MD5 sum {found}, and not {expected}")


class _OtherFileError(ValueError):
    """A file is not the published one."""


def _download(spec: DataSpec, root: Path) -> None:
    published = PUBLISHED[spec.title]
    for options in published.parts:
        _torchvisions(published)(root=root, download=True, **options)


def _unreadable(spec: DataSpec, root: Path, why: Exception) -> DataError:
    reason = " ".join(str(why).split()) or type(why).__name__
    tried = " or download it" if spec.download else ""
    other = "" if spec.download else ", or data.download: true"
    if isinstance(why, _OtherFileError):
        other = "; data.check: false reads other files in the same format, such as a part of it"
    return DataError(
        f"cannot read {spec.info.title} from {root}{tried}: {reason}; expected "
        f"{root / _first_file(spec)} and the files beside it{other}"
    )


def _first_file(spec: DataSpec) -> Path:
    return Path(_names(spec)[0])
