#!/bin/sh
# Guess: Ciw's loop of replications (a network made once; for each trial `ciw.seed(trial)` and a new
# `ciw.Simulation(network)`) has other arrivals in each trial, whatever the distribution of the arrivals. And
# two nodes that are given the same distribution have independent arrivals of one law.
# What happens: `PoissonIntervals`, the distribution for rates that change with the time of day, draws all its
# dates when it is made, before any seed of the loop. All trials have the same arrivals to the last digit,
# only the services differ, and intervals of confidence leave out what the arrivals add. Two nodes that
# share the object get each arrival at the same instant. All other distributions draw during the run.
# Remedy: make the network inside the loop, after `ciw.seed`, with one object for each node.
# Upstream: the guide says that the schedule is determined before the simulation begins; the guide to
# replications makes the network outside the loop. No issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check ciw==3.2.7 numpy==2.4.6
cd "$place"
cat > trials.py <<'PYTHON'
import sys
from importlib.metadata import version
from statistics import stdev

import ciw

HORIZON, TRIALS = 200, 20


def network(arrivals, nodes=1):
    return ciw.create_network(
        arrival_distributions=[arrivals] * nodes,
        service_distributions=[ciw.dists.Exponential(rate=6)] * nodes,
        number_of_servers=[1] * nodes,
        routing=[[0.0] * nodes] * nodes,
    )


def arrivals(network):
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(2 * HORIZON)
    dates = {}
    for record in simulation.get_all_records():
        if record.arrival_date < HORIZON:
            dates.setdefault(record.node, []).append(record.arrival_date)
    return [tuple(sorted(dates[node])) for node in sorted(dates)]


def day():
    return ciw.dists.PoissonIntervals(rates=[5, 1], endpoints=[10, 20], max_sample_date=HORIZON)


def trials(make):
    seen = []
    for trial in range(TRIALS):
        ciw.seed(trial)
        seen.append(arrivals(make())[0])
    return len(set(seen)), stdev([len(dates) for dates in seen])


ciw.seed(99)
once, steady = network(day()), network(ciw.dists.Exponential(rate=3))
poisson = trials(lambda: once)
exponential = trials(lambda: steady)
mended = trials(lambda: network(day()))
print(f"ciw {version('ciw')}: different sequences of arrivals in {TRIALS} trials, and the")
print("standard deviation of the number of arrivals (about sqrt(600) = 24 in a Poisson process)")
print(f"  PoissonIntervals, network made once     {poisson[0]:2d}, {poisson[1]:4.1f}")
print(f"  Exponential, network made once          {exponential[0]:2d}, {exponential[1]:4.1f}")
print(f"  PoissonIntervals, network made each time {mended[0]}, {mended[1]:4.1f}")
ciw.seed(1)
first, second = arrivals(network(day(), 2))
print("two nodes with one PoissonIntervals have the same", len(first), "arrivals:", first == second)
ok = poisson == (1, 0.0) and exponential[0] == mended[0] == TRIALS and min(exponential[1], mended[1]) > 10
sys.exit(0 if ok and first == second else 1)
PYTHON
"$place/venv/bin/python" trials.py
