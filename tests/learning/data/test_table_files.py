"""`kind: files` with tables: CSV, Parquet, Arrow, and folders of Hugging Face datasets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from own_files import encoded, grey_images, read, refusal, save_to_disk
from PIL import Image
from pydantic import ValidationError

from afl_sim.learning.data.sample_form import IGNORED, SampleForm

PLAIN: dict[str, Any] = {
    "height": [1.5, 2.5, 3.5, 4.5],
    "age": [3, 4, 5, 6],
    "animal": ["dog", "cat", "dog", "cat"],
    "owner": ["x", "NA", "x", "y"],
}


def parquet(path: Path, columns: dict[str, Any] | pa.Table) -> str:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pyarrow.parquet.write_table(table, path)
    return str(path)


def csv(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize("form", ["parquet", "csv", "feather", "arrow", "save_to_disk"])
def test_all_formats_of_a_table_give_the_same_samples(form: str, tmp_path: Path) -> None:
    table = pa.table(PLAIN)
    path = tmp_path / f"t.{form}"
    if form == "save_to_disk":
        save_to_disk(path, table.slice(0, 3), table.slice(3))
    elif form == "parquet":
        parquet(path, table)
    elif form == "csv":
        rows = zip(*PLAIN.values(), strict=True)
        csv(path, ",".join(PLAIN), *(",".join(map(str, row)) for row in rows))
    elif form == "feather":
        pyarrow.feather.write_feather(table, path)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    source = read(train=str(path), test=str(path), labels="animal", client="owner")
    assert source.form == SampleForm((2,), 2)
    assert source.train.inputs.tolist() == [[1.5, 3], [2.5, 4], [3.5, 5], [4.5, 6]]
    assert source.train.labels.tolist() == [1, 0, 1, 0]  # classes in the order of their names
    assert source.owner_names == ("NA", "x", "y")


def test_columns_may_be_a_list(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", PLAIN)
    source = read(train=path, test=path, inputs=["age"], labels=["height", "age"])
    assert source.form == SampleForm((1,), 2, "number")
    assert source.train.labels.tolist() == [[1.5, 3], [2.5, 4], [3.5, 5], [4.5, 6]]


def test_several_columns_of_zeros_and_ones_are_several_classes(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", {"x": [1.0, 2], "a": [0, 1], "b": [True, True]})
    source = read(train=path, test=path, inputs="x", labels=["a", "b"])
    assert source.form == SampleForm((1,), 2, "several")
    assert source.train.labels.tolist() == [[0, 1], [1, 1]]


def test_lists_of_words_are_several_classes(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", {"x": [1.0, 2], "tags": [["b", "a"], []]})
    source = read(train=path, test=path, inputs="x", labels="tags")
    assert source.form == SampleForm((1,), 2, "several")
    assert source.train.labels.tolist() == [[1, 1], [0, 0]]


def test_lists_of_whole_numbers_are_tokens_and_are_filled_up(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "t.parquet",
        {"ids": [[5, 6, 7], [8], [9, 1]], "next": [[6, 7, 2], [0], [1, -100]], "y": [0, 1, 1]},
    )
    source = read(train=path, test=path, inputs="ids", labels="y", padding=3)
    assert source.form == SampleForm((3,), 2, "class", 10)
    assert source.train.inputs.tolist() == [[5, 6, 7], [8, 3, 3], [9, 1, 3]]
    cut = read(train=path, test=path, inputs="ids", labels="next", length=2, vocabulary=20)
    assert cut.form == SampleForm((2,), 8, "tokens", 20)
    assert cut.train.labels.tolist() == [[6, 7], [0, IGNORED], [1, IGNORED]]


@pytest.mark.parametrize("struct", [False, True])
def test_columns_of_encoded_images_are_decoded(struct: bool, tmp_path: Path) -> None:
    pixels = grey_images(3)
    files = [encoded(image) for image in pixels]
    column: Any = [{"bytes": file, "path": None} for file in files] if struct else files
    path = parquet(tmp_path / "t.parquet", {"image": column, "label": [0, 1, 1]})
    source = read(train=path, test=path, inputs="image", labels="label")
    assert source.form == SampleForm((1, 6, 5), 2)
    assert np.array_equal(source.train.inputs[:, 0], pixels)


def test_one_image_with_colours_gives_all_three_channels(tmp_path: Path) -> None:
    grey = grey_images(1)[0]
    colour = np.stack([grey, grey // 2, 255 - grey], axis=2)
    files = [encoded(grey), encoded(colour)]
    path = parquet(tmp_path / "t.parquet", {"image": files, "label": [0, 1]})
    source = read(train=path, test=path, inputs="image", labels="label")
    assert np.array_equal(source.train.inputs[0], np.stack([grey] * 3))
    assert np.array_equal(source.train.inputs[1], colour.transpose(2, 0, 1))


def test_images_of_other_sizes_need_a_size(tmp_path: Path) -> None:
    files = [encoded(grey_images(1)[0]), encoded(grey_images(1, 7)[0])]
    path = parquet(tmp_path / "t.parquet", {"image": files, "label": [0, 1]})
    message = refusal(train=path, test=path, inputs="image", labels="label")
    assert "sample 1 (the first is 0): an image of 7 x 5 pixels after one of 6 x 5" in message
    source = read(train=path, test=path, inputs="image", labels="label", size=[4, 3])
    assert source.form.input_shape == (1, 4, 3)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    whole = encoded(grey_images(1)[0])
    path = parquet(tmp_path / "t.parquet", {"image": [whole, whole[:30]], "label": [0, 1]})
    message = refusal(train=path, test=path, inputs="image", labels="label")
    assert message.startswith(f"data.dataset.inputs: {path}: 'image', sample 1 (the first is 0): ")
    assert "cannot be decoded" in message


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ({"x": [1.0, None], "y": [0, 1]}, 1),
        ({"x": [1.0, 2.0], "y": [None, 1]}, 0),
        ({"x": [[1], [1, None]], "y": [0, 1]}, 1),
    ],
)
def test_missing_values_are_refused(columns: dict[str, Any], row: int, tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", columns)
    message = refusal(train=path, test=path, inputs="x", labels="y")
    assert f"sample {row} (the first is 0): the value is missing" in message


def test_an_empty_cell_of_a_csv_file_is_missing_and_no_zero(tmp_path: Path) -> None:
    path = csv(tmp_path / "t.csv", "x,y", "1,0", ",1")
    assert "'x', sample 1 (the first is 0): the value is missing" in refusal(
        train=path, test=path, labels="y"
    )


def test_a_missing_column_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", PLAIN)
    message = refusal(train=path, test=path, labels="anmal", inputs=["age"])
    assert message == (
        f"data.dataset.labels: {path}: there is no column 'anmal'; it has height, age, animal, "
        "owner; did you mean 'animal'?"
    )


def test_a_word_of_the_test_set_that_is_no_class_is_refused(tmp_path: Path) -> None:
    train = parquet(tmp_path / "a.parquet", {"x": [1.0, 2], "y": ["dog", "cat"]})
    test = parquet(tmp_path / "b.parquet", {"x": [1.0, 2], "y": ["dog", "cats"]})
    message = refusal(train=train, test=test, labels="y")
    assert "sample 1 (the first is 0): is 'cats'; expected one of the 2 classes cat, dog" in message
    assert message.endswith("did you mean 'cat'?")


@pytest.mark.parametrize(
    ("classes", "told"), [(["cat", "dog", "cat"], "has 'cat' twice"), ([], "has no names")]
)
def test_classes_have_different_names(tmp_path: Path, classes: list[str], told: str) -> None:
    with pytest.raises(ValidationError, match=f"{told}; expected different names of classes"):
        read(train="x.csv", test="x.csv", classes=classes)


def test_classes_may_be_given(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"x": [1.0, 2], "y": ["dog", "cat"], "n": [0, 3]})
    named = read(train=path, test=path, inputs="x", labels="y", classes=["emu", "dog", "cat"])
    assert (named.form.outputs, named.train.labels.tolist()) == (3, [1, 2])
    assert read(train=path, test=path, inputs="x", labels="n", classes=7).form.outputs == 7
    assert "has 2 different words; expected 1" in refusal(
        train=path, test=path, inputs="x", labels="y", classes=1
    )
    assert "is 3; expected a class from 0 to 1" in refusal(
        train=path, test=path, inputs="x", labels="n", classes=2
    )


@pytest.mark.parametrize("largest", [2**62, 2**64 - 1, 999_999_999])
def test_labels_that_would_make_far_too_many_classes_are_refused(
    largest: int, tmp_path: Path
) -> None:
    labels = pa.array([0, 1, largest], pa.uint64())
    path = parquet(tmp_path / "a.parquet", pa.table({"x": [1.0, 2, 3], "y": labels}))
    message = refusal(train=path, test=path, labels="y")
    assert f"has the label {largest}, which would be one of {largest + 1} classes" in message
    given = refusal(train=path, test=path, labels="y", classes=largest + 1)
    assert f"has {largest + 1} classes; expected at most 1048576" in given


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"inputs": "animal", "labels": "age"}, "has text; expected numbers, lists of tokens"),
        ({"labels": "age"}, "column 'animal' is no column of single numbers; expected `inputs`"),
        ({"inputs": ["age"], "labels": "height", "target": "class"}, "is 1.5; expected whole"),
        ({"inputs": ["age"], "labels": "animal", "target": "number"}, "has text; expected numbers"),
        ({"inputs": ["age", "animal"], "labels": "age"}, "has text; expected one number in each"),
        (
            {"inputs": ["age"], "labels": "when"},
            "has the type timestamp[us]; expected numbers, text",
        ),
    ],
)
def test_columns_of_the_wrong_type_are_refused(
    block: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    when = pa.array([0, 1, 2, 3], pa.timestamp("us"))
    path = parquet(tmp_path / "t.parquet", {**PLAIN, "when": when})
    assert expected in refusal(train=path, test=path, **block)


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    path = Path(parquet(tmp_path / "t.parquet", PLAIN))
    path.write_bytes(path.read_bytes()[:-20])
    assert "expected a whole parquet file" in refusal(train=str(path), test_share=0.5)
    ragged = csv(tmp_path / "t.csv", "a,labels", "1,2", "1,2,3")
    assert "expected a whole csv file" in refusal(train=ragged, test_share=0.5)
    empty = csv(tmp_path / "e.csv", "a,labels")
    assert "it has no rows of samples" in refusal(train=empty, test_share=0.5)
    (tmp_path / "l.csv").write_bytes(b"a,labels\n1,caf\xe9\n2,tea\n")
    assert "column 'labels' is no text in UTF-8" in refusal(
        train=str(tmp_path / "l.csv"), test_share=0.5
    )
    twice = csv(tmp_path / "u.csv", "a,a,labels", "1,2,3")
    assert "has the column name 'a' twice" in refusal(train=twice, test_share=0.5)


def test_one_split_of_a_saved_dictionary_of_data_sets_has_to_be_named(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    save_to_disk(folder / "train", pa.table(PLAIN))
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    message = refusal(train=str(folder), test_share=0.5)
    assert f"has the splits train; expected one, such as {folder / 'train'}" in message
    (tmp_path / "other").mkdir()
    assert "a folder without a readable state.json" in refusal(
        train=str(tmp_path / "other"), test_share=0.5
    )


def test_images_of_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    deep = encoded(np.full((6, 5), 1000, dtype=np.uint16))
    path = parquet(tmp_path / "t.parquet", {"image": [deep], "label": [0]})
    message = refusal(train=path, test=path, inputs="image", labels="label")
    assert "an image of mode I;16; expected 8 bits for each channel" in message


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "1"])
def test_images_of_other_modes_become_grey_or_rgb(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(grey_images(1)[0]).convert("RGB").convert(mode)
    content = io.BytesIO()
    picture.save(content, "TIFF" if mode == "CMYK" else "PNG")
    path = parquet(tmp_path / "t.parquet", {"image": [content.getvalue()], "label": [0]})
    source = read(train=path, test=path, inputs="image", labels="label")
    assert source.form.input_shape[0] == (1 if mode in ("LA", "1") else 3)


def test_other_files_have_the_columns_of_the_first_one_whatever_their_order(tmp_path: Path) -> None:
    train = csv(tmp_path / "a.csv", "x,y,labels", "1,2,0", "3,4,1")
    test = csv(tmp_path / "b.csv", "labels,y,extra,x", "1,20,7,10")
    assert read(train=train, test=test).test.inputs.tolist() == [[10, 20]]
    fewer = csv(tmp_path / "c.csv", "labels,y", "1,20")
    assert "there is no column 'x'; it has labels, y" in refusal(train=train, test=fewer)


def test_ids_of_clients_that_differ_as_text_are_different_clients(tmp_path: Path) -> None:
    lines = ["a,y,who", "1,0,01", "2,1,1", "3,0,01", "4,1,7"]
    train = csv(tmp_path / "a.csv", *lines)
    source = read(train=train, inputs=["a"], labels="y", client="who", test_share=0.5)
    assert source.owner_names == ("01", "1", "7")


def test_ids_of_clients_in_csv_keep_all_64_bits(tmp_path: Path) -> None:
    apart, close = ("18446744073709551615", "9223372036854775808", "7"), str(2**64 - 2)
    for ids in (apart, (*apart, close)):
        lines = [f"{row},{row % 2},{name}" for row, name in enumerate(ids * 2)]
        train = csv(tmp_path / "a.csv", "a,y,who", *lines)
        source = read(train=train, inputs=["a"], labels="y", client="who", test_share=0.5)
        assert source.owner_names == tuple(sorted(ids))
    train = csv(tmp_path / "a.csv", "a,y,who", "1,0,1.5", "2,1,3", "3,0,1.5", "4,1,3")
    found = refusal(train=train, inputs=["a"], labels="y", client="who", test_share=0.5)
    assert "has numbers (float64); expected text or whole numbers that name clients" in found
