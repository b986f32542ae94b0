"""Tiny files of published data sets, in the formats in which torchvision finds them."""

from __future__ import annotations

import bz2
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from data_files import write_idx
from PIL import Image
from scipy.io import savemat

PARTS = (("train", 6), ("test", 4))


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir()
    for part, count in PARTS:
        labels = [99 - i for i in range(count)]
        batch = {"data": pixels(count, 3072), "fine_labels": labels, "coarse_labels": [0] * count}
        (folder / part).write_bytes(pickle.dumps(batch))


def svhn(root: Path) -> None:
    for part, count in PARTS:
        images = pixels(count, 3, 32, 32).transpose(2, 3, 1, 0)
        labels = np.array([[10], [1], [2], [9], [10], [3]])[:count]
        savemat(root / f"{part}_32x32.mat", {"X": images, "y": labels})


def qmnist(root: Path) -> None:
    folder = root / "QMNIST" / "raw"
    for part, count in PARTS:
        write_idx(folder / f"qmnist-{part}-images-idx3-ubyte", pixels(count, 28, 28))
        about = np.zeros((count, 8), dtype=">i4")
        about[:, 0] = np.arange(count) % 10
        about[:, 2] = np.array([2424, 7, 2424, 7, 7, 300])[:count] + 1000 * (part == "test")
        header = bytes([0, 0, 12, 2]) + count.to_bytes(4, "big") + (8).to_bytes(4, "big")
        (folder / f"qmnist-{part}-labels-idx2-int").write_bytes(header + about.tobytes())


def usps(root: Path) -> None:
    for name, count in (("usps.bz2", 6), ("usps.t.bz2", 4)):
        lines = [
            f"{i + 1} " + " ".join(f"{j + 1}:{(i + j) % 3 - 1}" for j in range(256))
            for i in range(count)
        ]
        (root / name).write_bytes(bz2.compress(("\n".join(lines) + "\n").encode()))


def stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    for part, count in PARTS:
        pixels(count, 3, 96, 96).transpose(0, 1, 3, 2).tofile(folder / f"{part}_X.bin")
        (np.arange(count, dtype=np.uint8) + 1).tofile(folder / f"{part}_y.bin")


def gtsrb(root: Path) -> None:
    folder = root / "gtsrb" / "GTSRB"
    for i in range(6):
        place = folder / "Training" / f"{42 - i // 2:05}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(1, 20 + i, 30, 3)[0]).save(place / f"{i:05}_00000.ppm")
    (folder / "Final_Test" / "Images").mkdir(parents=True)
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for i in range(4):
        Image.fromarray(pixels(1, 32, 32, 3)[0]).save(folder / "Final_Test/Images" / f"{i:05}.ppm")
        rows.append(f"{i:05}.ppm;32;32;5;5;27;27;{i}")
    (root / "gtsrb" / "GT-final_test.csv").write_text("\n".join(rows) + "\n")


def celeba(root: Path) -> None:
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    names = [f"{i:06}.jpg" for i in range(1, 12)]
    parts = [0] * 6 + [1] + [2] * 4
    signs = np.random.default_rng(1).choice([-1, 1], (11, 40))
    for name in names:
        Image.fromarray(pixels(1, 218, 178, 3)[0]).save(folder / name)
    files = {
        "list_eval_partition": [f"{n} {p}" for n, p in zip(names, parts, strict=True)],
        "identity_CelebA": [f"{n} {5000 - i % 3}" for i, n in enumerate(names)],
        "list_attr_celeba": ["11", " ".join(f"A{i}" for i in range(40))]
        + [f"{n}  " + "  ".join(map(str, s)) for n, s in zip(names, signs.tolist(), strict=True)],
    }
    for name, lines in files.items():
        (root / "celeba" / f"{name}.txt").write_text("\n".join(lines) + "\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "cifar100": cifar100,
    "svhn": svhn,
    "qmnist": qmnist,
    "usps": usps,
    "stl10": stl10,
    "gtsrb": gtsrb,
    "celeba": celeba,
}
