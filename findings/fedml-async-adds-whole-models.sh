#!/bin/sh
# Guess: the asynchronous server of FedML's simulation mixes: w <- (1 - a) w + a w_i, where a falls with
# the staleness of the client's model w_i, as FedAsync does. Or it adds differences from the model that
# the client downloaded.
# What happens: it adds the whole model, w <- w + w_i / (1 + staleness), and clients send whole models. A
# client that trains nothing and returns the model doubles it.
# Upstream: fedml/simulation/mpi/async_fedavg; the line that would send differences is a comment.
# No issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check \
    fedml==0.9.6 torch==2.14.1 "setuptools<80"
cat > "$place/server.py" <<'PYTHON'
from types import SimpleNamespace

import torch
from fedml.simulation.mpi.async_fedavg.AsyncFedAVGAggregator import AsyncFedAVGAggregator
from fedml.simulation.mpi.async_fedavg.AsyncFedAVGTrainer import AsyncFedAVGTrainer


class Model:
    """A model of one weight that training leaves as it is."""

    def __init__(self):
        self.weights = {"w": torch.tensor([1.0])}

    def get_model_params(self):
        return {name: value.clone() for name, value in self.weights.items()}

    def set_model_params(self, weights):
        self.weights = dict(weights)

    def train(self, data, device, arguments):
        pass


arguments = SimpleNamespace(dataset="mnist", client_num_in_total=2)
counts, data = {0: 10, 1: 10}, {0: None, 1: None}
server = AsyncFedAVGAggregator(
    None, None, 20, data, data, counts, 2, None, arguments, Model()
)
client = AsyncFedAVGTrainer(0, data, counts, data, 20, None, arguments, Model())
seen = []
for version in range(4):
    client.update_model(server.get_global_model_params())
    model, samples = client.train(version)
    server.add_local_trained_result(0, model, samples, version, version)
    seen.append(float(server.get_global_model_params()["w"]))
print("fedml 0.9.6: the server's weight after clients that train nothing:", [1.0, *seen])
assert seen == [2.0, 4.0, 8.0, 16.0]
PYTHON
cd "$place"
"$place/venv/bin/python" "$place/server.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
