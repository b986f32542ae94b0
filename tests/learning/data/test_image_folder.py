"""`kind: image_folder`: image files in folders named after classes, and perhaps clients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from own_files import encoded, grey_images, image_tree, read, refusal
from torchvision.datasets.folder import IMG_EXTENSIONS

from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.data.sources.images import IMAGE_ENDINGS


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    images = grey_images(4)
    image_tree(tmp_path / "train", {"cat": images[2:], "ape": images[:2]})
    image_tree(tmp_path / "test", {"cat": images[:1]})
    source = read(kind="image_folder", root=str(tmp_path))
    assert source.form == SampleForm((1, 6, 5), 2)
    assert np.array_equal(source.train.inputs[:, 0], images)
    assert source.train.labels.tolist() == [0, 0, 1, 1]
    assert source.test.labels.tolist() == [1]
    assert source.owner_names == ()


def test_a_level_of_folders_may_name_clients(tmp_path: Path) -> None:
    images = grey_images(4)
    above = image_tree(tmp_path / "u", {"ann/cat": images[:2], "bob/ape": images[2:]})
    below = image_tree(tmp_path / "v", {"cat/ann": images[:2], "ape/bob": images[2:]})
    for root, level, labels in ((above, "above", [1, 0]), (below, "below", [0, 1])):
        source = read(kind="image_folder", root=root, client_level=level, test_share=0.5)
        assert source.owner_names == ("ann", "bob")
        assert source.train.labels.tolist() == labels
        assert source.train.owners is not None
        assert source.train.owners.tolist() == ([0, 1] if level == "above" else [1, 0])


def test_colours_can_be_read_as_grey(tmp_path: Path) -> None:
    colour = np.zeros((6, 5, 3), dtype=np.uint8)
    colour[..., 1] = 100
    root = image_tree(tmp_path / "a", {"x": [colour, colour], "y": [colour]})
    assert read(kind="image_folder", root=root, test_share=0.4).form.input_shape == (3, 6, 5)
    grey = read(kind="image_folder", root=root, test_share=0.4, grey=True)
    assert grey.form.input_shape == (1, 6, 5)
    assert (grey.train.inputs == 59).all()  # 0.587 x 100, as Pillow rounds it


def test_bad_folders_and_images_are_refused(tmp_path: Path) -> None:
    root = image_tree(tmp_path / "a", {"x": grey_images(2), "y": grey_images(1)})
    assert "found no folders train and test" in refusal(kind="image_folder", root=root)
    broken = tmp_path / "a" / "x" / "1.png"
    broken.write_bytes(b"no image")
    message = refusal(kind="image_folder", root=root, test_share=0.5)
    assert message.startswith(f"data.dataset.root: {broken}: it cannot be decoded")
    broken.write_bytes(encoded(grey_images(1, 9)[0]))
    message = refusal(kind="image_folder", root=root, test_share=0.5)
    assert message.startswith(f"data.dataset.root: {broken}: an image of 9 x 5 pixels after one of")
    assert read(kind="image_folder", root=root, test_share=0.5, size=[4, 4])
    (tmp_path / "a" / "z").mkdir()
    assert "has no images in it" in refusal(kind="image_folder", root=root, test_share=0.5)
    assert "there is no such folder" in refusal(
        kind="image_folder", root=f"{root}x", test_share=0.5
    )
    image_tree(tmp_path / "b", {"train/cat": grey_images(1), "test/cats": grey_images(1)})
    message = refusal(kind="image_folder", root=str(tmp_path / "b"))
    assert "the class 'cats' is not in the training set; did you mean 'cat'?" in message


def test_the_same_files_are_images_as_for_torchvision() -> None:
    assert set(IMAGE_ENDINGS) == set(IMG_EXTENSIONS)
