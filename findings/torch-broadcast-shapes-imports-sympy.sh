#!/bin/sh
# Guess: `torch.broadcast_shapes((2, 1), (1, 3))` computes a tuple of two numbers. It costs microseconds
# and imports nothing.
# What happens: its first call imports torch's symbolic shapes and with them SymPy, several hundred
# modules that take more than a second. `numpy.broadcast_shapes` takes the same arguments.
# Upstream: none found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys
from time import perf_counter

import numpy as np
import torch

before, began = set(sys.modules), perf_counter()
shape = torch.broadcast_shapes((2, 1), (1, 3))
taken, new = perf_counter() - began, set(sys.modules) - before
again = perf_counter()
torch.broadcast_shapes((2, 1), (1, 3))
print(
    f"torch {torch.__version__}: {tuple(shape)} took {taken:.2f} s and imported {len(new)} modules, "
    f"SymPy among them: {'sympy' in new}; the second call took {1e6 * (perf_counter() - again):.0f} us"
)
assert tuple(shape) == np.broadcast_shapes((2, 1), (1, 3))
sys.exit(0 if "sympy" in new and len(new) > 200 else 1)
PYTHON
