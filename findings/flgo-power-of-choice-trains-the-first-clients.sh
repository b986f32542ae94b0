#!/bin/sh
# Guess: FLGo's power-of-choice (Cho, Wang, Joshi, arXiv 2010.01243) draws d candidates, asks them for their
# loss, and trains those with the largest ones. Over the rounds every client is a candidate, and those
# with large losses are trained.
# What happens: the places of the largest losses in the list of candidates are looked up in the list of all
# available clients. With d = 20 of 100 clients the cohorts are chosen among clients 0 to 19, whatever the
# candidates were and whatever their losses are: the other 80 are asked for their loss, but never trained. With
# d = the number of clients, FLGo's default, both lists are the same, and nothing is seen.
# Upstream: flgo/algorithm/powerofchoice.py, sample; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check flgo==0.4.4 torch==2.14.1 numpy==2.4.6
cat > "$place/choice.py" <<'PYTHON'
import sys
from importlib.metadata import version
from statistics import mean
from types import SimpleNamespace

import numpy as np
from flgo.algorithm.powerofchoice import Server

CLIENTS, COHORT, ROUNDS = 100, 5, 200


class Client:
    """Its loss is its number; it is always there, and has ten samples."""

    def __init__(self, number, asked):
        self.number, self.asked, self.train_data = number, asked, range(10)

    def is_idle(self):
        return True

    def test(self, model, flag):
        self.asked.add(self.number)
        return {"loss": float(self.number)}


def cohorts(candidates):
    asked = set()
    server = Server.__new__(Server)  # its constructor wants a task with data
    server.clients = [Client(number, asked) for number in range(CLIENTS)]
    server.num_clients, server.clients_per_round = CLIENTS, COHORT
    server.d, server.model = candidates, SimpleNamespace()
    np.random.seed(1)
    trained = [client for _ in range(ROUNDS) for client in server.sample()]
    return asked, trained


# The mean of the 5 largest of 20 numbers that are drawn out of 0 to 99, as the paper's rule trains them
rng = np.random.default_rng(1)
rule = mean(float(np.sort(rng.choice(CLIENTS, 20, replace=False))[-COHORT:].mean()) for _ in range(2000))
print("flgo", version("flgo"), f"{ROUNDS} rounds, cohorts of {COHORT} of {CLIENTS} clients; client i has the loss i")
seen = {}
for candidates in (20, CLIENTS):
    asked, trained = seen[candidates] = cohorts(candidates)
    print(f"  d = {candidates:3d}: asked {len(asked)} clients, trained {len(set(trained))},", end=" ")
    print(f"the numbers {min(trained)} to {max(trained)}, mean {mean(trained):.1f}")
print(f"  the paper's rule with d = 20: mean {rule:.1f}")
asked, trained = seen[20]
ok = len(asked) == CLIENTS and max(trained) == 19 and rule > 80
sys.exit(0 if ok and set(seen[CLIENTS][1]) == set(range(95, 100)) else 1)
PYTHON
cd "$place"
"$place/venv/bin/python" "$place/choice.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
