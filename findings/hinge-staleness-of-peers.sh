#!/bin/sh
# Guess: the hinge weight of FedAsync in other frameworks is the paper's (Xie, Koyejo, Gupta, arXiv
# 1903.03934): 1 up to a staleness of b, then 1 / (a (tau - b) + 1), which is never above 1.
# What happens: FLGo leaves the 1 out, 1 / (a (tau - b)), so that with a < 1 a stale update gets a
# larger weight than a fresh one. FedLab multiplies it by a, 1 / (a (tau - b + 1)), so that with
# a = 10 the weight falls at once to 1/20 in place of 1/11.
# Upstream: flgo/algorithm/fedasync.py; fedlab/contrib/algorithm/basic_server.py. No issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check fedlab==1.3.0 flgo==0.4.4 torch==2.14.1
cat > "$place/hinge.py" <<'PYTHON'
from importlib.metadata import version

import torch
from fedlab.contrib.algorithm.basic_server import AsyncServerHandler
from flgo.algorithm.fedasync import Server


def fedlab(tau, a, b):
    server = AsyncServerHandler(torch.nn.Linear(1, 1), 10)
    server.setup_optim(alpha=1.0, strategy="hinge", a=a, b=b)
    server.round = tau
    return float(server.adapt_alpha(torch.tensor(0)))


def flgo(tau, a, b):
    server = Server.__new__(Server)  # its constructor wants a task with data
    server.flag, server.hinge_a, server.hinge_b = "hinge", a, b
    return server.s(tau)


print("fedlab", version("fedlab"), "flgo", version("flgo"))
seen = []
for a, tau in ((10, 4), (10, 5), (10, 6), (0.5, 4), (0.5, 5)):
    paper = 1 if tau <= 4 else 1 / (a * (tau - 4) + 1)
    seen.append((round(fedlab(tau, a, 4), 4), round(flgo(tau, a, 4), 4)))
    print(f"a = {a}, b = 4, staleness {tau}: paper {paper:.4f}, FedLab {seen[-1][0]}, FLGo {seen[-1][1]}")
assert seen == [(1, 1), (0.05, 0.1), (0.0333, 0.05), (1, 1), (1, 2)]
PYTHON
"$place/venv/bin/python" "$place/hinge.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
