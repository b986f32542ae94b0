#!/bin/sh
# Guess: `torchvision.datasets.MNIST(root)` reads the four files in `MNIST/raw`, the ones that
# `download=True` fetches and compares with MD5 sums.
# What happens: if `MNIST/processed/training.pt` and `test.pt` are there, as torchvision kept them
# in older versions, they are taken instead, whatever they hold. The files in `raw` are not looked at, nothing
# is compared, and nothing is said; with `download=True` neither.
# Remedy: read the IDX files oneself, or refuse a root in which `processed` lies.
# Upstream: the constructor calls it backward compatibility; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 numpy
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys
import warnings
from pathlib import Path

import torch
import torchvision
from torchvision.datasets import MNIST

raw = Path("root/MNIST/raw")
raw.mkdir(parents=True)
for part in ("train", "t10k"):  # three images of 255s, labelled 1, in the IDX format
    images = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (3, 28, 28))
    (raw / f"{part}-images-idx3-ubyte").write_bytes(images + b"\xff" * 3 * 28 * 28)
    labels = b"\0\0\x08\x01" + (3).to_bytes(4, "big") + b"\1\1\1"
    (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def seen(**options):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        data = MNIST("root", **options)
    return data.data.unique().tolist(), data.targets.unique().tolist(), len(told)


before = seen()
processed = Path("root/MNIST/processed")
processed.mkdir()
for name in ("training.pt", "test.pt"):
    zeros = torch.zeros(5, 28, 28, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)
    torch.save(zeros, processed / name)
after, downloading = seen(), seen(download=True)
print(f"torchvision {torchvision.__version__}: pixels, labels, warnings")
print(f"raw alone                     {before}")
print(f"zeros in processed beside it  {after}")
print(f"the same, download=True       {downloading}")
if before != ([255], [1], 0) or after != ([0], [0], 0) or downloading != after:
    print("no longer seen")
    sys.exit(1)
PYTHON
