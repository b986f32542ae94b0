"""The source `leaf`: data sets of the LEAF benchmark (Caldas et al., arXiv 1812.01097)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from afl_sim.learning.data.sample_form import SampleForm, Target
from afl_sim.learning.data.sources.holding_out import hold_out
from afl_sim.learning.data.sources.leaf_files import User, leaf_folders, read_users
from afl_sim.learning.data.sources.leaf_inputs import Characters, NamedImages, Rows, Tweets
from afl_sim.learning.data.sources.source import Array, Ints, Source, SourcePart, bad
from afl_sim.learning.data.sources.targets import MOST_CLASSES
from afl_sim.scenario.sections.datasets import LeafDataset

_SUFFIXES = (".jpg", ".jpeg", ".png")
Reader = Rows | Characters | Tweets | NamedImages


def read_leaf(spec: LeafDataset) -> Source:
    """Read a data set of LEAF. Users are the clients.

    Raises:
        DataError: a file is missing or damaged, or its samples are of a form that is not known.
    """
    folder, test_folder = leaf_folders(Path(spec.root).expanduser())
    if (test_folder is None) == (spec.test_share is None):
        found = "no folder test" if test_folder is None else f"{test_folder} and test_share"
        raise bad(
            spec.root,
            "test_share",
            f"found {found}; expected a folder test or test_share, not both",
        )
    train = read_users(folder)
    test = [] if test_folder is None else read_users(test_folder)
    reader = _reader(spec, train, test)
    if spec.invert and not isinstance(reader, Rows | NamedImages):
        raise bad(folder, "invert", "the samples are no images; expected `invert: false`")
    names = tuple(dict.fromkeys(user.name for user in (*train, *test)))
    labels, target, classes = _labels([*train, *test], train, reader)
    count = sum(len(user.x) for user in train)
    inputs = reader.read(train)
    training = SourcePart(inputs, labels[:count], _owners(train, names))
    form = SampleForm(tuple(inputs.shape[1:]), classes, target, reader.vocabulary)
    if not test:
        assert spec.test_share is not None
        kept, held = hold_out(training, spec.test_share, spec.test_seed, len(names))
        return Source(kept, held, form, names)
    testing = SourcePart(reader.read(test), labels[count:], _owners(test, names))
    return Source(training, testing, form, names)


def _reader(spec: LeafDataset, train: Sequence[User], test: Sequence[User]) -> Reader:
    first = train[0].x[0]
    if isinstance(first, str):
        if first.lower().endswith(_SUFFIXES):
            return NamedImages(_image_folder(spec), spec.size, spec.invert)
        return Characters.of([*train, *test])
    if isinstance(first, list) and first and any(isinstance(item, str) for item in first):
        return Tweets.of(train, spec.vocabulary, spec.length)
    if isinstance(first, list | np.ndarray) and len(first):
        return Rows.of([*train, *test], len(first), spec.invert)
    raise train[0].error(
        f"has the input {first!r:.40}; expected a list of numbers, text, or a list of the fields "
        "of a tweet"
    )


def _image_folder(spec: LeafDataset) -> Path:
    if spec.images is not None:
        return Path(spec.images).expanduser()
    root = Path(spec.root).expanduser()
    for parent in (root, root.parent):
        if (found := parent / "raw" / "img_align_celeba").is_dir():
            return found
    raise bad(
        root, "images", "the samples name image files; expected `images` to name their folder"
    )


def _owners(users: Sequence[User], names: tuple[str, ...]) -> Ints:
    places = {name: place for place, name in enumerate(names)}
    return np.repeat([places[user.name] for user in users], [len(user.x) for user in users])


def _labels(
    users: Sequence[User], train: Sequence[User], reader: Reader
) -> tuple[Array, Target, int]:
    first = train[0].y[0]
    if isinstance(first, str):
        return _words(users, reader)
    values = []
    for user in users:
        for label in user.y:
            if isinstance(label, bool) or not isinstance(label, int | float):
                raise user.error(f"has the label {label!r:.40}; expected a number, as the first is")
            if not np.isfinite(label):
                raise user.error(f"has the label {label}; expected a finite number")
        values.append(np.asarray(user.y, dtype=np.float64))
    labels = np.concatenate(values)
    if (labels != np.floor(labels)).any():
        return labels.astype(np.float32)[:, None], "number", 1
    starts = np.cumsum([0, *(len(user.y) for user in users)])
    wrong = (labels < 0) | (labels >= MOST_CLASSES)
    if wrong.any():
        row = int(np.argmax(wrong))
        user = users[int(np.searchsorted(starts, row, side="right")) - 1]
        most = min(int(labels.max()), MOST_CLASSES - 1)
        raise user.error(f"has the label {int(labels[row])}; expected 0 to {most}")
    # Of both sets: in a sample of FEMNIST the training set may lack a class of the test set.
    return labels.astype(np.int64), "class", int(labels.max()) + 1


def _words(users: Sequence[User], reader: Reader) -> tuple[Array, Target, int]:
    if isinstance(reader, Characters):
        names = reader.characters
    else:
        names = tuple(sorted({str(label) for user in users for label in user.y}))
    places = {name: place for place, name in enumerate(names)}
    labels = []
    for user in users:
        for label in user.y:
            if not isinstance(label, str) or label not in places:
                expected = "one character" if isinstance(reader, Characters) else "text"
                raise user.error(f"has the label {label!r:.40}; expected {expected}")
            labels.append(places[label])
    return np.array(labels, dtype=np.int64), "class", len(names)
