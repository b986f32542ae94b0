#!/bin/sh
# Guess: where all clients take equally many local steps, FedNova (Wang et al., NeurIPS 2020, arXiv 2007.07481)
# is FedAvg, as its paper says. If all of a round's clients return the same model, the server's is that model.
# What happens: FedLab's FedNova multiplies the mean of its cohort by (number of clients) / (size of the cohort),
# by default: with 10 of 100 clients the server moves ten times as far as its clients. FLGo's has FLGo's three
# ways of averaging; with `weighted_scale` the number of steps lacks that factor, and the server moves a
# tenth of the way; with `weighted_com` the shares are counted twice, and it moves a hundredth where
# FedAvg moves a tenth. Only `uniform`, FLGo's default, is right. With all clients in each round all are.
# Upstream: fedlab/contrib/algorithm/fednova.py; flgo/algorithm/fednova.py. No issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check \
    fedlab==1.3.0 flgo==0.4.4 torch==2.14.1 numpy==2.4.6
cat > "$place/scale.py" <<'PYTHON'
import logging
import sys
from importlib.metadata import version
from types import SimpleNamespace

import torch
from fedlab.contrib.algorithm.fednova import FedNovaServerHandler
from flgo.algorithm import fedavg, fednova
from flgo.utils.fmodule import FModule

logging.disable(logging.CRITICAL)
CLIENTS, STEPS = 100, 5


class Weight(FModule):
    """A model of one weight."""

    def __init__(self, value=0.0):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([value]))


def fedlab(cohort):
    """The server's weight, at first 0, when all of the cohort return 1 after equally many steps."""
    server = FedNovaServerHandler(Weight(), 1, cohort / CLIENTS)
    server.num_clients = CLIENTS
    server.setup_optim()
    for _ in range(cohort):
        server.load([torch.tensor([1.0]), torch.tensor([float(STEPS)])])
    return round(float(server.model_parameters), 4)


def flgo(algorithm, averaging, cohort):
    """The same of FLGo, for clients with equally many samples."""
    server = algorithm.Server.__new__(algorithm.Server)  # its constructor wants a task with data
    server.clients = [SimpleNamespace(datavol=10) for _ in range(CLIENTS)]
    server.num_clients, server.aggregation_option, server.model = CLIENTS, averaging, Weight()
    server.received_clients = server.selected_clients = list(range(cohort))
    models = [Weight(1.0) for _ in range(cohort)]
    server.sample = lambda: server.selected_clients
    server.communicate = lambda clients: {"model": models, "tau": [STEPS] * cohort}
    server.iterate()
    return round(float(server.model.w), 4)


print(f"fedlab {version('fedlab')}, flgo {version('flgo')}: the server's weight, of 0, if all clients return 1")
seen = {}
for cohort in (10, CLIENTS):
    print(f" {cohort} of {CLIENTS} clients")
    seen[cohort] = [fedlab(cohort)]
    print(f"  FedLab                FedNova {seen[cohort][0]:g}")
    for averaging in ("uniform", "weighted_scale", "weighted_com"):
        pair = flgo(fednova, averaging, cohort), flgo(fedavg, averaging, cohort)
        print(f"  FLGo, {averaging:15s} FedNova {pair[0]:g}, FedAvg {pair[1]:g}")
        seen[cohort].append(pair)
few = [10, (1, 1), (0.1, 1), (0.01, 0.1)]
sys.exit(0 if seen == {10: few, CLIENTS: [1, (1, 1), (1, 1), (1, 1)]} else 1)
PYTHON
cd "$place"
"$place/venv/bin/python" "$place/scale.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
