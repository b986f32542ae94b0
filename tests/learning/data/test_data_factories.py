"""`kind: package.module:factory`: a function of the user's that gives samples."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from own_files import read, refusal
from torch.utils.data import Dataset

from afl_sim.learning.data.sample_form import SampleForm

INPUTS = torch.arange(12.0).reshape(6, 2)
LABELS = torch.tensor([0, 1, 0, 1, 1, 0])


@pytest.fixture
def factory() -> Iterator[Callable[[Callable[..., Any]], str]]:
    """Puts a function into a module of the user's, and gives its name."""
    module = ModuleType("own_factory_module")
    sys.modules[module.__name__] = module

    def put(function: Callable[..., Any]) -> str:
        module.make = function  # type: ignore[attr-defined]
        return f"{module.__name__}:make"

    yield put
    del sys.modules[module.__name__]


class Items(Dataset[Any]):
    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def test_a_factory_may_give_tensors_with_clients_and_classes(factory: Any) -> None:
    def make(scale: float) -> dict[str, Any]:
        return {
            "train": (INPUTS * scale, LABELS, list("aabbca")),
            "test": (INPUTS[:1] * scale, LABELS[:1]),
            "classes": np.int64(4),
        }

    source = read(kind=factory(make), scale=2.0)
    assert source.form == SampleForm((2,), 4)
    assert source.train.inputs.tolist() == (INPUTS * 2).tolist()
    assert source.owner_names == ("a", "b", "c")


def test_a_factory_may_give_a_data_set_of_torch(factory: Any) -> None:
    items = Items(*[(INPUTS[i], int(LABELS[i]), f"u{i % 2}") for i in range(6)] * 50)
    source = read(kind=factory(lambda: {"train": items}), test_share=0.5)
    assert source.form == SampleForm((2,), 2)
    assert source.owner_names == ("u0", "u1")
    everything = np.concatenate([source.train.inputs, source.test.inputs])
    assert sorted(everything[:, 0].tolist()) == sorted(INPUTS[:, 0].tolist() * 50)


def test_images_tokens_and_numbers_are_told_apart_by_their_types(factory: Any) -> None:
    images = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    name = factory(lambda: {"train": (images, LABELS)})
    assert read(kind=name, test_share=0.5).form.input_shape == (3, 8, 8)
    tokens = [torch.tensor([1, 2, 3]), torch.tensor([4])] * 3
    name = factory(lambda: {"train": Items(*[(t, 1.5) for t in tokens]), "vocabulary": 9})
    assert read(kind=name, test_share=0.5).form == SampleForm((3,), 1, "number", 9)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((INPUTS, LABELS), "returned tuple; expected a dictionary with the keys train"),
        ({"trian": 1}, "returned the key 'trian'; expected train, test, classes, target, voc"),
        ({"test": (INPUTS, LABELS)}, "returned no 'train'"),
        ({"train": (INPUTS, LABELS)}, "there is neither 'test' nor a test_share"),
        ({"train": (INPUTS,), "test": 1}, "got tuple; expected a torch.utils.data.Dataset"),
        ({"train": (INPUTS, LABELS[:4]), "test": 1}, "has 6 samples; expected 4"),
        (
            {"train": Items((INPUTS[0], 1), 7), "test": 1},
            "item 1 is a int; expected (input, label)",
        ),
        (
            {"train": Items((INPUTS[0], 1), (INPUTS, 1)), "test": 1},
            "has the shape (6, 2); expected",
        ),
        ({"train": Items(), "test": 1}, "has no samples"),
        ({"train": (INPUTS, None), "test": 1}, "its labels are None; expected values for all"),
        (
            {"train": (INPUTS, LABELS), "test": (INPUTS, LABELS), "classes": 2.5},
            "returned classes: 2.5; expected a whole number from 1 to 1048576, or a list of dif",
        ),
        (
            {"train": (INPUTS, LABELS), "test": (INPUTS, LABELS), "classes": ["a", "a"]},
            "returned classes: a list of 2; expected a whole number from 1",
        ),
        (
            {"train": (INPUTS, LABELS), "test": (INPUTS, LABELS), "vocabulary": 2**40},
            "returned vocabulary: 1099511627776; expected a whole number from 1 to 1048576",
        ),
        ({"train": (INPUTS / 0, LABELS), "test": (INPUTS, LABELS)}, "expected finite numbers"),
    ],
)
def test_what_a_factory_may_not_return_is_refused(factory: Any, given: Any, expected: str) -> None:
    assert expected in refusal(kind=factory(lambda: given))


def test_tensors_of_other_kinds_are_read_or_refused_in_one_line(factory: Any) -> None:
    labels = torch.arange(6) % 2
    for inputs in (torch.eye(6).to_sparse(), torch.eye(6).bfloat16()):
        name = factory(lambda inputs=inputs: {"train": (inputs, labels)})
        source = read(kind=name, test_share=0.5)
        both = np.concatenate([source.train.inputs, source.test.inputs])
        assert sorted(both.argmax(1).tolist()) == list(range(6))
    name = factory(lambda: {"train": (torch.empty(6, 2, device="meta"), labels)})
    assert "'inputs': cannot be read: NotImplementedError" in refusal(kind=name, test_share=0.5)


def test_a_factory_that_fails_or_is_missing_is_one_line(factory: Any) -> None:
    def fails(path: str) -> None:
        raise OSError(f"no {path}")

    name = factory(fails)
    assert "failed: OSError: no x" in refusal(kind=name, path="x")
    assert "missing 1 required positional argument: 'path'" in refusal(kind=name)
    assert "did you mean 'make'?" in refusal(kind="own_factory_module:mak")
    message = refusal(kind="not_there_at_all:make")
    assert message.startswith("data.dataset.kind: cannot import dataset 'not_there_at_all:make': ")
    assert "No module named 'not_there_at_all'" in message
