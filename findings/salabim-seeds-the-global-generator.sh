#!/bin/sh
# Guess: `salabim.Environment()` has a random generator of its own, as its `random_seed` and its
# distributions' `randomstream` suggest, and leaves Python's module `random` alone.
# What happens: each new environment seeds the module `random` with 1234567, and NumPy's global generator
# too. Whatever else in the process draws from these (a cohort, a shuffle, another library) begins anew:
# replications in one loop have the same numbers, whatever seed the program set before.
# Remedy: generators of one's own beside salabim, or `random_seed=""`, which seeds nothing.
# Upstream: the docstring of Environment says it ("equivalent to random.seed()").
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check salabim==26.0.9 greenlet numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import random
import sys
from importlib.metadata import version

import numpy as np
import salabim

print("salabim", version("salabim"), "in three replications:")
print("  3 clients of 100 by the module random, 2 by numpy.random")


def cohorts(**options):
    random.seed(99)
    np.random.seed(99)
    drawn = []
    for _ in range(3):
        salabim.Environment(**options)
        by_numpy = np.random.permutation(100)[:2].tolist()
        drawn.append((*random.sample(range(100), 3), *by_numpy))
    return drawn


usual, left_alone = cohorts(), cohorts(random_seed="")
print("  Environment():              ", *usual)
print('  Environment(random_seed=""):', *left_alone)
sys.exit(0 if len(set(usual)) == 1 and len(set(left_alone)) == 3 else 1)
PYTHON
