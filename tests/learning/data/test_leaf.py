"""`kind: leaf`: the JSON files of the LEAF benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_files import encoded, grey_images, leaf, read, refusal

from afl_sim.learning.data.sample_form import SampleForm

WHITE = [1.0] * 784


def block(root: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "leaf", "root": str(root), **more}


def test_femnist_is_white_on_one_unless_it_is_inverted(tmp_path: Path) -> None:
    ink = [0.0] * 28 + [100 / 255] + [1.0] * 755
    leaf(tmp_path / "train", {"w1": [(WHITE, 3)], "w0": [(ink, 61), (WHITE, 0)]})
    leaf(tmp_path / "test", {"w0": [(ink, 5)], "w2": [(WHITE, 0)]})
    source = read(**block(tmp_path))
    assert source.form == SampleForm((1, 28, 28), 62)
    assert source.train.inputs.dtype == np.uint8
    assert source.train.inputs[1].reshape(-1)[26:31].tolist() == [0, 0, 100, 255, 255]
    assert source.owner_names == ("w1", "w0", "w2")
    assert source.train.owners is not None
    assert source.test.owners is not None
    assert source.train.owners.tolist() == [0, 1, 1]
    assert source.test.owners.tolist() == [1, 2]
    inverted = read(**block(tmp_path, invert=True))
    assert np.array_equal(inverted.train.inputs, 255 - source.train.inputs)


def test_grey_values_that_are_no_bytes_stay_numbers(tmp_path: Path) -> None:
    leaf(tmp_path, {"a": [([0.123456] * 784, 0), (WHITE, 1)]})
    source = read(**block(tmp_path, test_share=0.5, invert=True))
    assert source.train.inputs.dtype == np.float32
    both = np.concatenate([source.train.inputs, source.test.inputs])
    assert sorted(both[:, 0, 0, 0].tolist()) == pytest.approx([0, 1 - 0.123456])


def test_shakespeare_is_read_by_character(tmp_path: Path) -> None:
    leaf(tmp_path / "train", {"ROMEO": [("a ba", "b"), ("ba b", "a")]})
    leaf(tmp_path / "test", {"ROMEO": [("a b?", " ")]})
    source = read(**block(tmp_path))
    assert source.form == SampleForm((4,), 4, "class", 5)  # " ", "?", "a", "b", and padding
    assert source.train.inputs.tolist() == [[3, 1, 4, 3], [4, 3, 1, 4]]
    assert source.train.labels.tolist() == [3, 2]
    assert source.test.labels.tolist() == [0]


def test_sent140_is_read_by_word(tmp_path: Path) -> None:
    def tweet(text: str) -> list[str]:
        return ["17", "Mon Apr 06", "NO_QUERY", "someone", text]

    leaf(tmp_path / "train", {"a": [(tweet("So good, so GOOD"), 1), (tweet("bad"), 0)]})
    leaf(tmp_path / "test", {"a": [(tweet("good news"), 1)]})
    source = read(**block(tmp_path, length=4, vocabulary=5))
    assert source.form == SampleForm((4,), 2, "class", 5)  # good, so, "," and two more
    assert source.train.inputs.tolist() == [[3, 2, 4, 3], [1, 0, 0, 0]]
    assert source.test.inputs.tolist() == [[2, 1, 0, 0]]


def test_synthetic_is_rows_of_numbers(tmp_path: Path) -> None:
    leaf(tmp_path, {"0": [([0.5, -1.5], 1.0)] * 4, "1": [([1.5, 2], 0.0)] * 4})
    source = read(**block(tmp_path, test_share=0.25))
    assert source.form == SampleForm((2,), 2)
    assert (len(source.train), len(source.test)) == (6, 2)


def test_the_classes_are_those_of_both_sets(tmp_path: Path) -> None:
    leaf(tmp_path / "train", {"a": [([0.5, 1.5], 0), ([1.5, 2.5], 1)]})
    leaf(tmp_path / "test", {"a": [([0.5, 1.5], 3)]})
    source = read(**block(tmp_path))
    assert source.form == SampleForm((2,), 4)
    assert source.test.labels.tolist() == [3]
    leaf(tmp_path / "test", {"a": [([0.5, 1.5], 2**40)]})
    assert "has the label 1099511627776; expected 0 to 1048575" in refusal(**block(tmp_path))


def test_celeba_names_image_files(tmp_path: Path) -> None:
    faces = tmp_path / "raw" / "img_align_celeba"
    faces.mkdir(parents=True)
    colour = np.stack([grey_images(1)[0]] * 3, axis=2)
    (faces / "1.png").write_bytes(encoded(colour))
    leaf(tmp_path / "train", {"7": [("1.png", 0), ("1.png", 1)]})
    leaf(tmp_path / "test", {"7": [("1.png", 1)]})
    source = read(**block(tmp_path, size=[6, 5]))
    assert source.form == SampleForm((3, 6, 5), 2)
    assert np.array_equal(source.train.inputs[0], colour.transpose(2, 0, 1))
    leaf(tmp_path / "test", {"7": [("2.png", 1)]})
    message = refusal(**block(tmp_path, size=[6, 5]))
    assert (
        message
        == f"data.dataset.images: {faces / '2.png'}: cannot be read: No such file or directory"
    )


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ({"a": []}, "user 'a': has no samples"),
        (
            {"a": [([1.0, 2], 0), ([1.0], 0)]},
            "user 'a': has inputs that differ; expected lists of 2",
        ),
        (
            {"a": [([1.0, 2], 0), ([1.0, float("nan")], 0)]},
            "input 1 has a number that is not finite",
        ),
        ({"a": [([1.0], 0)], "b": [([1.0], -1)]}, "user 'b': has the label -1; expected 0 to 0"),
        (
            {"a": [([1.0], 0)], "b": [([1.0], "x")]},
            "user 'b': has the label 'x'; expected a number",
        ),
        ({"a": [(7, 0)]}, "has the input 7; expected a list of numbers, text"),
        ({"a": [(["x", "y"], 0)]}, "expected the fields of a tweet, whose text is the fifth"),
    ],
)
def test_bad_samples_are_refused_with_file_and_user(
    users: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    leaf(tmp_path, users)
    message = refusal(**block(tmp_path, test_share=0.5))
    assert str(tmp_path / "a.json") in message
    assert expected in message


def test_damaged_files_and_missing_sets_are_refused(tmp_path: Path) -> None:
    leaf(tmp_path, {"a": [([1.0], 0)]})
    assert "expected a folder test or test_share" in refusal(**block(tmp_path))
    assert "which are no images" in refusal(**block(tmp_path, invert=True, test_share=0.5))
    path = tmp_path / "a.json"
    path.write_text(path.read_text()[:-5])
    assert "expected whole JSON" in refusal(**block(tmp_path, test_share=0.5))
    path.write_text(
        '{"users": ["a"], "num_samples": [2], "user_data": {"a": {"x": [[1]], "y": [0]}}}'
    )
    assert "has 1 samples; num_samples says 2" in refusal(**block(tmp_path, test_share=0.5))
    path.write_text('{"user": []}')
    assert "has the keys user; expected users and user_data" in refusal(
        **block(tmp_path, test_share=0.5)
    )
    path.unlink()
    assert "there is no .json file" in refusal(**block(tmp_path, test_share=0.5))
