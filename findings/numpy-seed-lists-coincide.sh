#!/bin/sh
# Guess: `numpy.random.default_rng([seed, client, round])` is a stream of its own for every list of
# numbers, also beside `default_rng(seed)`.
# What happens: a SeedSequence writes its numbers as 32-bit words behind each other and fills up to
# four words with zeros. So [7], [7, 0] and [7, 0, 0] are the same seed: client 0 draws what the
# server draws, and in round 0 the same once more. And [2**32 + 5] is [5, 1]: a seed of more than 32
# bits, alone, is another seed's client 1.
# Remedy: a length or a name in front of the numbers, `spawn_key`, or a digest as the seed.
# Upstream: numpy/numpy 16539 is about the zeros; 16551 mended `spawn` alone, so that streams stay the same.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np


def first(seed):
    return float(np.random.default_rng(seed).random())


print("numpy", np.__version__)
for seed in (7, [7, 0], [7, 0, 0], [7, 1], 2**32 + 5, [5, 1]):
    print(f"first draw of default_rng({seed}): {first(seed):.12f}")
alike = first(7) == first([7, 0]) == first([7, 0, 0]) and first(2**32 + 5) == first([5, 1])
spawned = np.random.SeedSequence(7, spawn_key=(0,))
print(f"first draw with spawn_key=(0,): {first(spawned):.12f}")
sys.exit(0 if alike and first(7) not in (first([7, 1]), first(spawned)) else 1)
PYTHON
