#!/bin/sh
# Guess: Oort's selector in FedScale returns as many different clients as are asked for. Once every client
# has been tried there is nothing to explore, and all are chosen by their utility.
# What happens: the list of explored clients is never emptied. The clients of the last exploration stay in
# every later cohort, whatever their utility, and some stand in it twice. The cohorts of 10 have 8
# clients at first and 13 after a hundred rounds.
# FedScale 1.0's selector needs NumPy 1: with NumPy 2 its `from numpy import *` replaces `min`.
# Upstream: thirdparty/oort/oort.py, exploreClients; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps fedscale==1.0 numpy==1.26.4
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import random
import sys
from importlib.metadata import version
from types import SimpleNamespace

from thirdparty.oort import create_training_selector

defaults = SimpleNamespace(  # those of fedscale/cloud/config_parser.py
    exploration_factor=0.9, exploration_decay=0.98, exploration_min=0.3, exploration_alpha=0.3,
    round_threshold=30, sample_window=5.0, pacer_step=20, pacer_delta=5, blacklist_rounds=-1,
    blacklist_max_len=0.3, clip_bound=0.9, round_penalty=2.0, cut_off_util=0.05,
)  # fmt: skip
clients = range(1, 41)
selector = create_training_selector(defaults)
for client in clients:
    selector.register_client(client, {"reward": 10.0, "duration": 1.0})
cohorts, tried, all_tried = [], set(), 0
for round_ in range(1, 101):
    if round_ == 1:  # as FedScale does
        cohort = random.Random(1).sample(clients, 10)
    else:
        cohort = [int(client) for client in selector.select_participant(10, set(clients))]
    if len(tried) < len(clients):
        all_tried, tried = round_, tried | set(cohort)
    cohorts.append(cohort)
    for client in cohort:  # the utility of a client is its number
        feedback = {"reward": float(client), "duration": 1.0, "time_stamp": round_, "status": True}
        selector.update_client_util(client, feedback)
later = cohorts[all_tried:]
always = set.intersection(*map(set, later))
sizes = sorted({len(cohort) for cohort in later})
twice = sum(len(set(cohort)) < len(cohort) for cohort in later)
print("fedscale", version("fedscale"), f"all {len(tried)} clients were tried after round {all_tried}")
print(f"clients in each of the {len(later)} later cohorts:", sorted(always))
print(f"sizes of these cohorts: {sizes}; a client stands twice in {twice} of them")
sys.exit(0 if len(always) >= 5 and min(sizes) < 10 < max(sizes) and twice > 0 else 1)
PYTHON
