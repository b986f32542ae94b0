#!/bin/sh
# Guess: FedML's `random_seed` decides which clients take part in a round, so that repetitions with several
# seeds have several sequences of cohorts.
# What happens: each round seeds NumPy's global generator with the number of the round and draws from it. All
# seeds have the same cohorts, on purpose ("for each comparison"), and the spread among repetitions lacks
# what the choice of clients adds. The generator stays so: what a program draws from `numpy.random`
# after it (noise, orders) is the same in round r of all repetitions, too.
# Remedy: a subclass with a `_client_sampling` that has a generator of its own.
# Upstream: fedml/simulation/sp/fedavg/fedavg_api.py; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check \
    fedml==0.9.6 torch==2.14.1 "setuptools<80"
cat > "$place/cohorts.py" <<'PYTHON'
import random
import sys
from importlib.metadata import version

import numpy as np
from fedml.simulation.sp.fedavg.fedavg_api import FedAvgAPI


def repetition(seed):
    random.seed(seed)  # as fedml.init does with `random_seed`
    np.random.seed(seed)
    rounds = []
    for round_ in range(3):
        cohort = FedAvgAPI._client_sampling(None, round_, 100, 4)
        rounds.append((*(int(client) for client in cohort), round(np.random.normal(), 6)))
    return rounds


print("fedml", version("fedml"), "cohorts of 4 clients of 100, and a normal draw after each:")
found = {seed: repetition(seed) for seed in (0, 1, 2)}
for seed, rounds in found.items():
    print(f"  seed {seed}:", *rounds)
sys.exit(0 if found[0] == found[1] == found[2] and len(set(found[0])) == 3 else 1)
PYTHON
cd "$place"
"$place/venv/bin/python" "$place/cohorts.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
