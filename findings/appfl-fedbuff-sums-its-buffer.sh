#!/bin/sh
# Guess: APPFL's FedBuffAggregator follows the paper that it cites (Nguyen et al., AISTATS 2022): the
# server adds the mean over K of the differences between a client's model and the one it downloaded.
# What happens: the K differences are added and not divided by K, and each is taken from the server's
# model of now. A client that downloaded an older model and did not move at all pulls the server
# back to that model.
# Upstream: appfl/algorithm/aggregator/fedbuff_aggregator.py; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q appfl==1.12.0 torch==2.14.1
cat > "$place/buffer.py" <<'PYTHON'
from importlib.metadata import version

import torch
from appfl.algorithm.aggregator import FedBuffAggregator
from omegaconf import OmegaConf

model = torch.nn.Linear(1, 1, bias=False)
torch.nn.init.zeros_(model.weight)
server = FedBuffAggregator(model, OmegaConf.create({"alpha": 1.0, "K": 2}))
for client in ("a", "b"):
    made = server.aggregate(client, {"weight": torch.tensor([[3.0]])})
first = float(made["weight"])
print("appfl", version("appfl"), "two clients move from 0 to 3; the server goes to", first)
for client in ("c", "d"):  # both downloaded the model 0, and did not move
    server.client_step[client] = 0
    made = server.aggregate(client, {"weight": torch.tensor([[0.0]])})
second = float(made["weight"])
print("two clients with the first model do not move; the server goes to", second)
assert (first, second) == (6.0, -6.0)
PYTHON
"$place/venv/bin/python" "$place/buffer.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
