#!/bin/sh
# Guess: `model.to(memory_format=torch.channels_last)` is a matter of speed. With the same seed a
# model gives the same outputs as before, but for rounding.
# What happens: dropout draws its mask in the order of the memory. So on maps of shape (N, C, H, W)
# it drops other entries in another order, and outputs and gradients differ by tens of per cent.
# `Dropout2d`, whose mask is (N, C, 1, 1), drops the same channels in both orders.
# Remedy: do not change the order of a model with dropout on maps, or compare before you do.
# Upstream: none found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import copy
import sys

import torch
from torch import nn

torch.manual_seed(0)
images = torch.randn(4, 3, 16, 16)


def apart(layer):
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), layer, nn.Flatten(), nn.Linear(8 * 14 * 14, 10))
    other = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    outputs = []
    for model in (plain, other):
        torch.manual_seed(1)
        outputs.append(model(images).detach())
    return float((outputs[0] - outputs[1]).norm() / outputs[0].norm())


found = {
    name: apart(layer)
    for name, layer in (
        ("no dropout", nn.Identity()),
        ("Dropout2d", nn.Dropout2d(0.5)),
        ("Dropout", nn.Dropout(0.5)),
    )
}
print(f"torch {torch.__version__}: outputs in channels_last against those in the default order")
for name, relative in found.items():
    print(f"{name:10}  relative difference {relative:.1e}")
if found["Dropout"] < 0.01 or max(found["no dropout"], found["Dropout2d"]) > 1e-5:
    print("no longer seen")
    sys.exit(1)
PYTHON
