"""The source `image_folder`: image files in folders that are named after their class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.data.sources.holding_out import hold_out
from afl_sim.learning.data.sources.images import IMAGE_ENDINGS, ImageFiles, decode_images
from afl_sim.learning.data.sources.source import Array, Source, SourcePart, bad
from afl_sim.scenario.sections.datasets import ImageFolderDataset
from afl_sim.scenario.wording import hint

KEY = "root"


@dataclass(frozen=True)
class ImageFile:
    """One image, with the names of its class and of its client (empty if there is none)."""

    path: Path
    label: str
    client: str


def image_files(spec: ImageFolderDataset, folder: Path) -> list[ImageFile]:
    """All images below a folder, in the order of their paths.

    Raises:
        DataError: a folder or its images are missing.
    """
    if not folder.is_dir():
        raise bad(folder, KEY, "there is no such folder")
    found: list[ImageFile] = []
    for first in _folders(folder):
        if spec.client_level is None:
            found += [ImageFile(path, first.name, "") for path in _images(first)]
            continue
        for second in _folders(first):
            names = (second.name, first.name)
            label, client = names if spec.client_level == "above" else reversed(names)
            found += [ImageFile(path, label, client) for path in _images(second)]
    return found


def _folders(folder: Path) -> Iterator[Path]:
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    if not inside:
        raise bad(folder, KEY, "has no folders in it; expected one for each class or client")
    yield from inside


def _images(folder: Path) -> list[Path]:
    inside = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS)
    if not inside:
        endings = ", ".join(IMAGE_ENDINGS)
        raise bad(folder, KEY, f"has no images in it; expected files that end in {endings}")
    return inside


def parts_of(spec: ImageFolderDataset) -> tuple[Path, Path | None]:
    """The folders of the training and of the test set; None if `test_share` makes one.

    Raises:
        DataError: there is neither a folder ``test`` nor a ``test_share``, or both.
    """
    root = Path(spec.root).expanduser()
    folder = root / "train" if (root / "train").is_dir() else root
    test = root / "test" if folder != root and (root / "test").is_dir() else None
    if (test is None) == (spec.test_share is None):
        found = "no folders train and test" if test is None else f"{test} and test_share"
        raise bad(
            root, "test_share", f"found {found}; expected the folders or test_share, not both"
        )
    return folder, test


def read_image_folder(spec: ImageFolderDataset) -> Source:
    """Read all images of a folder. Classes and clients are in the order of their names.

    Raises:
        DataError: a folder is missing or empty, or an image cannot be decoded.
    """
    folder, test_folder = parts_of(spec)
    train = image_files(spec, folder)
    test = [] if test_folder is None else image_files(spec, test_folder)
    classes = tuple(sorted({each.label for each in train}))
    for each in test:
        if each.label not in classes:
            problem = f"the class '{each.label}' is not in the training set"
            raise bad(each.path, KEY, f"{problem}{hint(each.label, classes)}")
    names: tuple[str, ...] = ()
    if spec.client_level is not None:
        names = tuple(dict.fromkeys(sorted({e.client for e in train}) + [e.client for e in test]))
    training = _part(spec, train, classes, names, 1)
    form = SampleForm(tuple(training.inputs.shape[1:]), len(classes))
    if not test:
        assert spec.test_share is not None
        kept, held = hold_out(training, spec.test_share, spec.test_seed, len(names))
        return Source(kept, held, form, names)
    testing = _part(spec, test, classes, names, form.input_shape[0])
    if testing.inputs.shape[1:] != form.input_shape:
        raise bad(
            test[0].path,
            KEY,
            f"test images of shape {testing.inputs.shape[1:]}; expected {form.input_shape}, as in "
            "the training set",
        )
    return Source(training, testing, form, names)


def _part(
    spec: ImageFolderDataset,
    files: Sequence[ImageFile],
    classes: tuple[str, ...],
    names: tuple[str, ...],
    channels: int,
) -> SourcePart:
    def blame(row: int, problem: str) -> DataError:
        return bad(files[row].path, KEY, problem)

    contents = ImageFiles([each.path for each in files], KEY)
    inputs: Array = decode_images(contents, blame, spec.size, spec.grey, channels)
    labels, owners = ({name: i for i, name in enumerate(known)} for known in (classes, names))
    return SourcePart(
        inputs,
        np.array([labels[each.label] for each in files], dtype=np.int64),
        np.array([owners[each.client] for each in files], dtype=np.int64) if names else None,
    )
