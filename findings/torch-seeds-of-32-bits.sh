#!/bin/sh
# Guess: `torch.manual_seed` takes 64 bits, so that a 64-bit digest of (seed, client, round) gives
# each of a million tasks a stream of its own.
# What happens: the generator of processors keeps the low 32 bits. Seeds that differ by 2^32 give the
# same numbers, although `initial_seed()` returns all 64 bits. Of 200,000 random 64-bit seeds about 5
# give an earlier one's numbers, and of a million more than 100; with 64 bits none would.
# Remedy: where that matters, draw the numbers with a generator that has a longer key, as NumPy's.
# Upstream: mt19937 in ATen/core/MT19937RNGEngine.h; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import hashlib
import sys

import torch


def draws(seed):
    generator = torch.Generator().manual_seed(seed)
    assert generator.initial_seed() == seed
    return tuple(torch.randint(2**62, (2,), generator=generator).tolist())


print(f"torch {torch.__version__}")
for seed in (5, 5 + 2**32, 5 + 2**62, 6):
    print(f"seed {seed}: {draws(seed)}")
digests = [
    int.from_bytes(hashlib.sha256(f"seed 1, task {task}".encode()).digest()[:8], "little")
    for task in range(200_000)
]
repeated = len(digests) - len({draws(digest) for digest in digests})
print(f"{len(set(digests))} different 64-bit seeds: {repeated} repeat another's numbers")
same = draws(5) == draws(5 + 2**32) == draws(5 + 2**62) != draws(6)
sys.exit(0 if same and repeated > 0 else 1)
PYTHON
