#!/bin/sh
# Guess: with FLGo's setting `completeness: PDU-0.5`, after FedProx (Li et al., arXiv 1812.06127), half of the
# selected clients do a random part of their local steps in each round. On average three quarters of the
# steps are done, in round 100 as in round 1.
# What happens: the drawn number of steps is written into the client's own `num_steps`, and the next draw is a
# part of that. Nothing sets it back. Clients do fewer and fewer steps; here, after twenty rounds all do one
# step for the rest of the run, and what looks like convergence is training that has all but stopped.
# Upstream: flgo/simulator/default_simulator.py, part_dynamic_uniform_client_completeness; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check flgo==0.4.4 torch==2.14.1 numpy==2.4.6
cat > "$place/work.py" <<'PYTHON'
import logging
import sys
from importlib.metadata import version

import flgo
import flgo.algorithm.fedavg as fedavg
import flgo.benchmark.synthetic_regression as benchmark

logging.disable(logging.CRITICAL)
done = {}  # round: the steps of its clients


class Client(fedavg.Client):
    def train(self, model):
        done.setdefault(self.server.current_round, []).append(self.num_steps)
        return super().train(model)


class algorithm:
    Server, Client = fedavg.Server, Client


def steps(completeness):
    done.clear()
    options = {
        "num_rounds": 40, "num_steps": 100, "proportion": 1.0, "sample": "full", "learning_rate": 0.01,
        "completeness": completeness, "no_log_console": True, "no_tqdm": True, "eval_interval": 100,
    }  # fmt: skip
    flgo.init("task", algorithm, options).run()
    return [sum(done[round_]) / len(done[round_]) for round_ in sorted(done)]


flgo.gen_task({"benchmark": {"name": benchmark, "para": {"num_clients": 10, "mean_datavol": 50}}}, "task")
print("flgo", version("flgo"), "- mean number of local steps of ten clients, of 100 at first")
seen = {}
for completeness in ("IDL", "PDU-0.5"):
    seen[completeness] = rounds = steps(completeness)
    told = ", ".join(f"round {at} {rounds[at - 1]:g}" for at in (1, 2, 5, 10, 20, 40))
    print(f"  {completeness:7s} {told}")
partial = seen["PDU-0.5"]
ok = set(seen["IDL"]) == {100.0} and 30 < partial[0] < 100 and partial == sorted(partial, reverse=True)
sys.exit(0 if ok and partial[-1] == 1 else 1)
PYTHON
cd "$place"
"$place/venv/bin/python" "$place/work.py" 2> "$place/err" || { cat "$place/err"; exit 1; }
