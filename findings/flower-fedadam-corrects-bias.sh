#!/bin/sh
# Guess: Flower's FedAdam is Algorithm 2 of Reddi et al. (arXiv 2003.00295), whose strategy class of
# that name takes the same settings: v begins at tau^2 and nothing is corrected for bias.
# What happens: v begins at 0, and the learning rate is corrected for bias as in Adam, but with the
# number of the round plus one as the exponent: round 1 is corrected as if it were round 2. So the
# first step is eta sqrt(1 - beta2^2) / (1 - beta1^2) * (1 - beta1) d / (sqrt((1 - beta2) d^2) + tau).
# A comment in the file points to Kingma and Ba, whose round 1 has the exponent 1.
# Upstream: flwr/server/strategy/fedadam.py; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q flwr==1.42.0
cat > "$place/first_step.py" <<'PYTHON'
import logging
from importlib.metadata import version
from math import isclose, sqrt
from types import SimpleNamespace

import numpy as np
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAdam

logging.disable(logging.CRITICAL)
eta, beta1, beta2, tau, move = 0.1, 0.9, 0.99, 0.001, 0.05
begin = ndarrays_to_parameters([np.zeros(1)])
strategy = FedAdam(initial_parameters=begin, eta=eta, beta_1=beta1, beta_2=beta2, tau=tau)
client = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([np.array([move])]), 10, {})
made, _ = strategy.aggregate_fit(1, [(SimpleNamespace(cid="0"), client)], [])
step = float(parameters_to_ndarrays(made)[0][0])


def expected(v_before, exponent):
    m = (1 - beta1) * move
    v = beta2 * v_before + (1 - beta2) * move**2
    rate = eta if exponent is None else eta * sqrt(1 - beta2**exponent) / (1 - beta1**exponent)
    return rate * m / (sqrt(v) + tau)


rules = {
    "Reddi et al.": expected(tau**2, None),
    "Adam's correction for round 1": expected(0.0, 1),
    "Adam's correction for round 2": expected(0.0, 2),
}
print("flwr", version("flwr"), "first step:", round(step, 6))
for name, value in rules.items():
    print(f"  {name}: {value:.6f}")
assert isclose(step, rules["Adam's correction for round 2"], rel_tol=1e-6)
assert not isclose(step, rules["Reddi et al."], rel_tol=0.1)
assert not isclose(step, rules["Adam's correction for round 1"], rel_tol=0.1)
PYTHON
"$place/venv/bin/python" "$place/first_step.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
