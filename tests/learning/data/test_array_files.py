"""`kind: files` with NumPy's files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from own_files import npz, read, refusal
from pydantic import ValidationError

from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.data.sources import array_files

BYTES = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
LABELS = np.array([0, 2, 1, 0])


def test_images_labels_clients_and_weights_come_from_named_arrays(tmp_path: Path) -> None:
    train = npz(
        tmp_path / "a.npz",
        x=BYTES,
        y=LABELS,
        who=np.array(["b", "a", "b", "b"]),
        w=np.array([1.0, 2, 0.5, 1]),
    )
    test = npz(tmp_path / "b.npz", x=BYTES[:1], y=LABELS[:1])
    source = read(train=train, test=test, inputs="x", labels="y", client="who", weight="w")
    assert source.form == SampleForm((1, 6, 5), 3)
    assert np.array_equal(source.train.inputs[:, 0], BYTES)
    assert source.train.labels.tolist() == LABELS.tolist()
    assert source.owner_names == ("a", "b")
    assert source.train.owners is not None
    assert source.train.owners.tolist() == [1, 0, 1, 1]
    assert source.train.weights is not None
    assert source.train.weights.tolist() == [1, 2, 0.5, 1]
    assert (source.test.owners, source.test.weights) == (None, None)


def test_numbers_become_float32_and_float_labels_are_predicted(tmp_path: Path) -> None:
    inputs = np.array([[1.5, 2], [3, 4], [5, 6]])
    train = npz(tmp_path / "a.npz", inputs=inputs, labels=np.array([0.5, 1.5, 2.5]))
    source = read(train=train, test=train)
    assert source.form == SampleForm((2,), 1, "number")
    assert source.train.inputs.dtype == source.train.labels.dtype == np.float32
    assert source.train.labels.tolist() == [[0.5], [1.5], [2.5]]


def test_channels_may_be_last(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 8, 9, 3), dtype=np.uint8)
    train = npz(tmp_path / "a.npz", inputs=pixels, labels=LABELS[:3])
    source = read(train=train, test=train)
    assert source.form.input_shape == (3, 8, 9)
    assert np.array_equal(source.train.inputs, pixels.transpose(0, 3, 1, 2))


def test_where_the_channels_are_must_be_told_if_the_shape_does_not(tmp_path: Path) -> None:
    pixels = np.zeros((3, 3, 9, 3), dtype=np.uint8)
    train = npz(tmp_path / "a.npz", inputs=pixels, labels=LABELS[:3])
    assert "expected `channels: first` or `channels: last`" in refusal(train=train, test=train)
    assert read(train=train, test=train, channels="last").form.input_shape == (3, 3, 9)


def test_a_vocabulary_of_millions_is_refused_before_a_model_is_made(tmp_path: Path) -> None:
    tokens = np.array([[3, 1, 2]] * 3)
    train = npz(tmp_path / "a.npz", inputs=tokens, labels=LABELS[:3])
    test = npz(tmp_path / "b.npz", inputs=tokens * 1000, labels=LABELS[:3])
    words = {"train": train, "test": test, "type": "tokens"}
    assert read(**words).form.vocabulary == 3001
    npz(test, inputs=tokens * 100_000, labels=LABELS[:3])
    message = refusal(**words)
    assert "the token 300000, which would be one of 300001; expected tokens from 0 on" in message
    assert read(**words, vocabulary=300_001).form.vocabulary == 300_001
    npz(test, inputs=tokens + 2**31 - 10, labels=LABELS[:3])
    assert "has the token 2147483641; expected 0 to 1048575" in refusal(**words)
    with pytest.raises(ValidationError, match=r"vocabulary\n.*less than or equal to 1048576"):
        read(**words, vocabulary=2**31)


def test_a_header_that_lies_is_a_damaged_file(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", LABELS)
    for shape in ("(True, 3)", "(" * 2000 + ")" * 2000, "(4294967296, 4294967296)"):
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
        header = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        (tmp_path / "x.npy").write_bytes(header + bytes(48))
        arrays = {"inputs": str(tmp_path / "x.npy"), "labels": str(tmp_path / "labels.npy")}
        message = refusal(train=arrays, test=arrays)
        assert "cannot be read" in message or "is cut off" in message
        assert len(message) < 400


def test_the_padding_is_one_of_the_tokens(tmp_path: Path) -> None:
    tokens = np.array([[3, 1, 2]] * 3)
    train = npz(tmp_path / "a.npz", inputs=tokens, labels=LABELS[:3])
    words = {"train": train, "test": train, "type": "tokens", "length": 4}
    assert read(**words, padding=9).form.vocabulary == 10
    assert "padding" in (message := refusal(**words, padding=9, vocabulary=5))
    assert "is 9; expected 0 to 4" in message
    assert "is 1099511627776; expected 0 to 1048575" in refusal(**words, padding=2**40)


def test_whole_numbers_in_two_dimensions_need_a_type(tmp_path: Path) -> None:
    train = npz(tmp_path / "a.npz", inputs=np.array([[3, 1, 2]] * 3), labels=LABELS[:3])
    assert "expected `type: tokens` or `type: numbers`" in refusal(train=train, test=train)
    tokens = read(train=train, test=train, type="tokens")
    assert tokens.form == SampleForm((3,), 3, "class", 4)
    assert tokens.train.inputs.dtype == np.int64
    assert read(train=train, test=train, type="numbers").form.vocabulary is None


def test_files_of_a_pattern_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, rows in (("b", slice(2, 4)), ("a", slice(0, 2))):
        npz(tmp_path / f"{name}.npz", inputs=BYTES[rows], labels=LABELS[rows])
    source = read(train=str(tmp_path / "*.npz"), test=str(tmp_path / "a.npz"))
    assert np.array_equal(source.train.inputs[:, 0], BYTES)


def test_one_file_for_each_array(tmp_path: Path) -> None:
    places = {}
    for key, array in (("inputs", BYTES), ("labels", LABELS), ("client", LABELS)):
        np.save(tmp_path / f"{key}.npy", array)
        places[key] = str(tmp_path / f"{key}.npy")
    source = read(train=places, test=places)
    assert source.owner_names == ("0", "1", "2")
    assert len(source.train) == 4


@pytest.mark.parametrize("archive", [False, True])
def test_large_arrays_are_mapped_and_not_read(
    archive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_files, "MAPPED_FROM", 16)
    if archive:
        place = npz(tmp_path / "a.npz", inputs=BYTES, labels=LABELS)
        source = read(train=place, test=place)
    else:
        np.save(tmp_path / "x.npy", BYTES)
        np.save(tmp_path / "y.npy", LABELS)
        places = {"inputs": str(tmp_path / "x.npy"), "labels": str(tmp_path / "y.npy")}
        source = read(train=places, test=places)
    inputs = source.train.inputs
    assert isinstance(inputs, np.memmap)
    assert np.array_equal(inputs[:, 0], BYTES)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    harmless = np.array([{"a": 1}, None], dtype=object)
    train = npz(tmp_path / "a.npz", inputs=harmless, labels=LABELS[:2])
    assert "holds Python objects, which are never unpickled" in refusal(train=train, test=train)
    (tmp_path / "p.npy").write_bytes(pickle.dumps([1, 2]))
    np.save(tmp_path / "y.npy", LABELS)
    places = {"inputs": str(tmp_path / "p.npy"), "labels": str(tmp_path / "y.npy")}
    assert "expected an .npy file that is whole" in refusal(train=places, test=places)


def test_test_share_holds_out_a_part_of_every_client(tmp_path: Path) -> None:
    owners = np.repeat([7, 3, 5], [10, 4, 1])
    inputs = np.arange(15, dtype=np.float32)[:, None]
    train = npz(tmp_path / "a.npz", inputs=inputs, labels=owners * 0, who=owners)
    source = read(train=train, test_share=0.25, client="who")
    assert source.owner_names == ("3", "5", "7")
    assert source.train.owners is not None
    assert source.test.owners is not None
    assert np.bincount(source.test.owners, minlength=3).tolist() == [1, 0, 2]
    assert np.bincount(source.train.owners).tolist() == [3, 1, 8]
    everything = np.concatenate([source.train.inputs, source.test.inputs])[:, 0]
    assert sorted(everything.tolist()) == list(range(15))
    assert (np.diff(source.train.inputs[:, 0]) > 0).all()  # in the order of the file
    again = read(train=train, test_share=0.25, client="who", test_seed=1)
    assert again.test.inputs.tolist() != source.test.inputs.tolist()


def test_a_share_that_holds_nothing_out_is_refused(tmp_path: Path) -> None:
    train = npz(tmp_path / "a.npz", inputs=BYTES, labels=LABELS, who=np.arange(4))
    assert "leaves none for the test set" in refusal(train=train, test_share=0.3, client="who")


@pytest.mark.parametrize(
    ("arrays", "key", "expected"),
    [
        (
            {"inputs": np.array([[1.0], [np.nan], [3]])},
            "inputs",
            "sample 1 (the first is 0): is nan",
        ),
        ({"inputs": np.array([[1.0], [2], [np.inf]])}, "inputs", "sample 2"),
        (
            {"inputs": np.array([[1.0], [1e300], [3]])},
            "inputs",
            "is 1e+300; expected finite numbers",
        ),
        ({"inputs": np.array(["a", "b", "c"])}, "inputs", "has text; expected numbers"),
        ({"inputs": np.ones((3, 2), np.complex64)}, "inputs", "has the type complex64"),
        ({"inputs": np.float32(3)}, "inputs", "is a single value"),
        ({"inputs": np.ones((3, 0))}, "inputs", "samples of shape (0,)"),
        ({"inputs": np.ones((2, 2))}, "inputs", "has 2 samples; expected 3, as many as there are"),
        (
            {"labels": np.array([0, -1, 1])},
            "labels",
            "sample 1 (the first is 0): is -1; expected a",
        ),
        ({"labels": np.array([0.5, np.nan, 1])}, "labels", "is nan; expected finite numbers"),
        ({"labels": np.array([[0, 1], [2, 3], [4, 5]])}, "labels", "expected `target` to say"),
        ({"labels": np.zeros(0, int), "inputs": np.ones((0, 2))}, "labels", "holds no samples"),
        ({"who": np.array([0.5, 1, 2])}, "client", "expected text or whole numbers that name"),
        ({"w": np.array([1.0, 0, 2])}, "weight", "is 0.0; expected a number above 0"),
        ({"w": np.array([1.0, np.nan, 2])}, "weight", "is nan; expected finite numbers"),
    ],
)
def test_bad_arrays_are_refused_with_file_key_and_sample(
    arrays: dict[str, np.ndarray], key: str, expected: str, tmp_path: Path
) -> None:
    good = {
        "inputs": np.ones((3, 2)),
        "labels": np.array([0, 1, 1]),
        "who": np.arange(3),
        "w": np.ones(3),
    }
    train = npz(tmp_path / "a.npz", **(good | arrays))
    message = refusal(train=train, test_share=0.5, client="who", weight="w")
    assert message.startswith(f"data.dataset.{key}: {train}: ")
    assert expected in message


def test_a_missing_array_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    train = npz(tmp_path / "a.npz", inputs=BYTES, label=LABELS)
    message = refusal(train=train, test=train)
    assert message == (
        f"data.dataset.labels: {train}: there is no array 'labels'; it has inputs, label; did you "
        "mean 'label'?"
    )


def test_test_data_must_be_like_the_training_data(tmp_path: Path) -> None:
    train = npz(tmp_path / "a.npz", inputs=BYTES, labels=LABELS)
    other = npz(tmp_path / "b.npz", inputs=BYTES[:, :5], labels=LABELS)
    assert "shape (1, 5, 5); expected (1, 6, 5), as in the training set" in refusal(
        train=train, test=other
    )
    scaled = npz(tmp_path / "s.npz", inputs=BYTES / 255, labels=LABELS)
    assert "has float32; expected uint8, as in the training set" in refusal(
        train=train, test=scaled
    )
    more = npz(tmp_path / "c.npz", inputs=BYTES, labels=LABELS + 1)
    assert "is 3; expected a class from 0 to 2" in refusal(train=train, test=more)
    numbers = npz(tmp_path / "d.npz", inputs=BYTES.astype(np.float32), labels=LABELS + 0.5)
    assert "expected whole numbers as classes" in refusal(train=train, test=numbers)


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    train = Path(npz(tmp_path / "a.npz", inputs=BYTES, labels=LABELS))
    train.write_bytes(train.read_bytes()[:-40])
    assert "expected an .npz archive that is whole" in refusal(train=str(train), test_share=0.5)
    np.save(tmp_path / "x.npy", BYTES)
    np.save(tmp_path / "y.npy", LABELS)
    cut = tmp_path / "x.npy"
    cut.write_bytes(cut.read_bytes()[:-1])
    places = {"inputs": str(cut), "labels": str(tmp_path / "y.npy")}
    assert "it is cut off: 119 bytes of data; its header says 120" in refusal(
        train=places, test_share=0.5
    )
    assert "did you mean 'x.npy'?" in refusal(train=str(tmp_path / "X.npy"), test_share=0.5)
    assert "no file matches this pattern" in refusal(train=str(tmp_path / "*.npx"), test_share=0.5)
    (tmp_path / "a.txt").write_text("1")
    assert "has the ending '.txt'; expected one of .npz" in refusal(
        train=str(tmp_path / "a.txt"), test_share=0.5
    )
