#!/bin/sh
# Guess: with `staleness_weight=True`, NVFlare's BuffModelManager weights an update as the paper that
# it names (Nguyen et al., FedBuff, AISTATS 2022): by 1 / sqrt(1 + tau), where tau is the number of
# versions made since its model was sent. An update of the current model has tau 0 and weight 1.
# What happens: the weight is 1 / (1 + sqrt(tau')), and the version is counted up before tau' is
# computed, so that it is tau + 1. An update without any staleness has weight 1/2.
# Upstream: nvflare/edge/assessors/buff_model_manager.py, generate_new_model; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check nvflare==2.9.0
cat > "$place/buffer.py" <<'PYTHON'
import logging
from importlib.metadata import version
from math import isclose, sqrt

import numpy as np

logging.disable(logging.CRITICAL)

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_context import FLContext
from nvflare.edge.assessors.buff_model_manager import BuffModelManager
from nvflare.edge.mud import ModelUpdate


class Quiet(BuffModelManager):
    """Without an engine no event can be fired, and none is needed."""

    def fire_event(self, *arguments):
        pass


def step(staleness, weighted):
    """Where the server goes from 0 by one update of 1 with this staleness."""
    context = FLContext()
    server = Quiet(num_updates_for_model=1, staleness_weight=weighted)
    server.initialize_model(DXO(DataKind.WEIGHTS, data={"w": np.zeros(1)}), context)
    server.generate_new_model(context)  # version 1: the initial model
    for client in range(staleness):  # each makes a version, and does not move the model
        send(server, context, f"other {client}", server.current_model_version, 0.0)
    send(server, context, "device", 1, 1.0)
    return float(server.current_model.data["w"][0])


def send(server, context, device, model_version, difference):
    dxo = DXO(DataKind.WEIGHT_DIFF, data={"dict": {"w": np.array([difference])}, "count": 1})
    update = ModelUpdate(model_version, dxo.to_shareable(), {device: 0.0})
    server.process_updates({model_version: update}, context)


print("nvflare", version("nvflare"))
for tau in range(4):
    paper, seen = 1 / sqrt(1 + tau), step(tau, True)
    print(f"staleness {tau}: weight {seen:.4f}, in the paper {paper:.4f}")
    assert step(tau, False) == 1
    assert isclose(seen, 1 / (1 + sqrt(1 + tau)))
PYTHON
"$place/venv/bin/python" "$place/buffer.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
