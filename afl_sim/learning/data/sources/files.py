"""The source `files`: arrays and tables as samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afl_sim.learning.data.sample_form import SampleForm, Target
from afl_sim.learning.data.sources import inputs as reading
from afl_sim.learning.data.sources.columns import Column
from afl_sim.learning.data.sources.holding_out import hold_out
from afl_sim.learning.data.sources.inputs import InputRules, InputType
from afl_sim.learning.data.sources.opening import FileColumns, read_columns
from afl_sim.learning.data.sources.owners import owner_names_of, owners_of, weights_of
from afl_sim.learning.data.sources.source import Array, Source, SourcePart
from afl_sim.learning.data.sources.targets import classes_of, labels_of, target_of
from afl_sim.scenario.sections.datasets import FilesDataset


@dataclass(frozen=True)
class HeldOut:
    """How a test set is made where the data has none: see `hold_out`."""

    share: float
    seed: int


def read_files(spec: FilesDataset) -> Source:
    """Read the samples of a block.

    Raises:
        DataError: a file is missing, damaged, or does not hold what the block says.
    """
    train = read_columns(spec, spec.train, "train")
    test = [] if spec.test is None else read_columns(spec, spec.test, "test", train[0])
    rules = InputRules(
        spec.type, spec.channels, spec.size, spec.padding, spec.length, spec.vocabulary
    )
    held = None if spec.test_share is None else HeldOut(spec.test_share, spec.test_seed)
    return source_of(train, test, rules, spec.target, spec.classes, held)


def source_of(
    train: Sequence[FileColumns],
    test: Sequence[FileColumns],
    rules: InputRules,
    target: Target | None,
    classes: int | tuple[str, ...] | None,
    held_out: HeldOut | None,
) -> Source:
    """Columns as samples.

    Args:
        train, test: the columns, file by file; no test files if ``held_out`` makes a test set.
        rules: how inputs are read.
        target: what the labels are; None if their type tells.
        classes: their number or names; None if the training set tells.
        held_out: how a test set is made; None if there is one.

    Raises:
        DataError: the columns do not suit one another, or are not what they should be.
    """
    found = reading.type_of(train[0].inputs, rules)
    longest = _longest([*train, *test], rules) if found == "tokens" else 0
    target = target or target_of(train[0].labels, found == "tokens")
    known = classes_of([each.labels for each in train], target, classes)
    names = owner_names_of(_clients(train), _clients(test))

    def part(files: Sequence[FileColumns], channels: int) -> SourcePart:
        pieces = [_inputs(each, found, rules, longest, channels) for each in files]
        for each, piece in zip(files, pieces, strict=True):
            _same_form(each, piece, pieces[0])
        labels = [labels_of(each.labels, target, known, longest) for each in files]
        for each, label in zip(files, labels, strict=True):
            if label.shape[1:] not in ((), (longest,), (known.count,)):
                raise each.labels[0].error(
                    "labels",
                    f"has {label.shape[1]} numbers for each sample; expected {known.count}",
                )
        clients = len(_clients(files)) == len(files)  # test files need not have them
        weights = [weights_of(each.weight) for each in files if each.weight is not None]
        return SourcePart(
            _joined(pieces),
            _joined(labels),
            _joined([owners_of(each, names) for each in _clients(files)]) if clients else None,
            _joined(weights) if len(weights) == len(files) else None,
        )

    training = part(train, 1)
    shape = training.inputs.shape[1:]
    testing = None
    if held_out is None:
        testing = part(test, shape[0] if found == "images" else 1)
        _same_form(test[0], testing.inputs, training.inputs)
    vocabulary = None
    if found == "tokens":
        parts = [each for each in (training, testing) if each is not None]
        tokens = [each.inputs for each in parts]
        vocabulary = reading.vocabulary_of(_one_array(train[0]), tokens, rules)
    form = SampleForm(shape, known.count, target, vocabulary)
    if testing is not None:
        return Source(training, testing, form, names)
    assert held_out is not None
    kept, held = hold_out(training, held_out.share, held_out.seed, len(names))
    return Source(kept, held, form, names)


def _clients(files: Sequence[FileColumns]) -> list[Column]:
    return [each.client for each in files if each.client is not None]


def _inputs(
    columns: FileColumns, found: InputType, rules: InputRules, longest: int, channels: int
) -> Array:
    if found == "images":
        return reading.images(columns.inputs, rules, channels)
    if found == "tokens":
        return reading.tokens(_one_array(columns), rules, longest)
    return reading.numbers(columns.inputs)


def _one_array(columns: FileColumns) -> Column:
    """Several columns of whole numbers, or one of lists, as one."""
    first = columns.inputs[0]
    if len(columns.inputs) == 1:
        return first
    parts = [reading.dense(column, "inputs") for column in columns.inputs]
    return Column(first.file, first.name, np.stack(parts, axis=1))


def _longest(files: Sequence[FileColumns], rules: InputRules) -> int:
    return rules.length or max(reading.longest_of(_one_array(each)) for each in files)


def _same_form(columns: FileColumns, found: Array, expected: Array) -> None:
    if found.shape[1:] != expected.shape[1:]:
        raise columns.inputs[0].error(
            "inputs",
            f"has samples of shape {found.shape[1:]}; expected {expected.shape[1:]}, as in the "
            "training set",
        )
    if found.dtype != expected.dtype:
        raise columns.inputs[0].error(
            "inputs", f"has {found.dtype}; expected {expected.dtype}, as in the training set"
        )


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
