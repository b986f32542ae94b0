#!/bin/sh
# Guess: `torch.func.functional_call` puts tensors in place of a module's parameters for one call,
# and takes them out again.
# What happens: if one layer is registered under two names, its parameters stay replaced. What was
# given lies in the module afterwards, as a plain tensor; under `vmap` that is the stack of all
# models, and the module's next call fails or computes with another's numbers.
# Remedy: put the tensors in and out of each module's `_parameters` oneself, by identity.
# Upstream: https://github.com/pytorch/pytorch/issues/164759
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch import nn
from torch.func import functional_call


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.again = self.first

    def forward(self, x):
        return self.again(torch.tanh(self.first(x)))


torch.manual_seed(0)
images = torch.ones(1, 2)


def left_in(model):
    before = model(images)
    others = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    functional_call(model, others, (images,))
    now = model.first._parameters
    left = [name for name, tensor in now.items() if not isinstance(tensor, nn.Parameter)]
    return left, bool(torch.equal(before, model(images)))


class Once(Twice):
    def __init__(self):
        super().__init__()
        self.again = nn.Linear(2, 2)


once, twice = left_in(Once()), left_in(Twice())
print(f"torch {torch.__version__}: after functional_call with zeros")
for name, (left, same) in (("two layers", once), ("one layer, two names", twice)):
    print(f"{name:20}  left in the module: {left}; computes as before: {same}")
if once != ([], True) or twice[1] or not twice[0]:
    print("no longer seen")
    sys.exit(1)
PYTHON
