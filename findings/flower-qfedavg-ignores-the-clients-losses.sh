#!/bin/sh
# Guess: `flwr.server.strategy.QFedAvg` weights each client's update by the q-th power of that client's loss,
# which is what the paper that it names (Li et al., ICLR 2020, arXiv 1905.10497) is about: clients that the
# model serves badly count more.
# What happens: the strategy never looks at a client's loss. It computes one loss with the server's
# `evaluate_fn` and takes its power for all clients, so that their weights are equal at every q: a client with
# a hundred times the loss counts as much as the others, and q only makes the steps shorter. Without
# `evaluate_fn` the first round raises NameError. The class of the same name in
# `flwr.serverapp.strategy` takes the losses that the clients report, and moves towards the unlucky one.
# Upstream: flwr/server/strategy/qfedavg.py, aggregate_fit; flwrlabs/flower 804 is about the NameError.
# No issue about the weights was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check flwr==1.42.0 numpy==2.4.6
cat > "$place/fair.py" <<'PYTHON'
import logging
import sys
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import QFedAvg as OldQFedAvg
from flwr.serverapp.strategy import QFedAvg

logging.disable(logging.CRITICAL)
RATE = 0.1
# One weight, 0 at first. The client whose loss is 10 would have it larger, the other one smaller.
LOSSES, MOVES = (10.0, 0.1), (0.01, -0.01)


def old(q, server_loss, losses):
    def evaluate(server_round, arrays, config):
        return server_loss, {}

    given = None if server_loss is None else evaluate
    strategy = OldQFedAvg(q_param=q, qffl_learning_rate=RATE, evaluate_fn=given)
    strategy.pre_weights = [np.zeros(1)]
    replies = []
    for cid, (loss, move) in enumerate(zip(losses, MOVES)):
        arrays = ndarrays_to_parameters([np.array([move])])
        reply = FitRes(Status(Code.OK, ""), arrays, 10, {"loss": loss, "train_loss": loss})
        replies.append((SimpleNamespace(cid=str(cid)), reply))
    made, _ = strategy.aggregate_fit(1, replies, [])
    return float(parameters_to_ndarrays(made)[0][0])


def new(q, losses):
    strategy = QFedAvg(client_learning_rate=RATE, q=q)
    strategy.current_arrays = ArrayRecord([np.zeros(1)])
    replies = []
    for node, (loss, move) in enumerate(zip(losses, MOVES), start=1):
        content = {
            "arrays": ArrayRecord([np.array([move])]),
            "metrics": MetricRecord({"train_loss": loss, "num-examples": 10}),
        }
        sender = SimpleNamespace(src_node_id=node)
        reply = SimpleNamespace(content=RecordDict(content), metadata=sender, has_error=lambda: False)
        replies.append(reply)
    made, _ = strategy.aggregate_train(1, replies)
    return float(made.to_numpy_ndarrays()[0][0])


print("flwr", version("flwr"), "- the new weight, of two clients that move it by", MOVES)
for q in (0.0, 1.0, 5.0):
    print(f"  q = {q:g}: losses {LOSSES}: server.strategy {old(q, 5.0, LOSSES):+.6f},", end=" ")
    print(f"serverapp.strategy {new(q, LOSSES):+.6f}")
fair = [new(q, LOSSES) for q in (1.0, 5.0)]
blind = [old(q, loss, losses) for q in (1.0, 5.0) for loss in (0.1, 10.0) for losses in (LOSSES, LOSSES[::-1])]
print("server.strategy with other losses of clients and server:", sorted(set(blind)))
try:
    unmeasured = str(old(1.0, None, LOSSES))
except NameError:
    unmeasured = "NameError"
print("server.strategy without evaluate_fn:", unmeasured)
ok = set(blind) == {0.0} and min(fair) > 0.001
sys.exit(0 if ok and unmeasured == "NameError" else 1)
PYTHON
cd "$place"
"$place/venv/bin/python" "$place/fair.py"
