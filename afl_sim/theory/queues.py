"""The server's link as a queue.

Open: tasks are sent to idle clients at the instants of a Poisson process and compute nothing, so
that their uploads are the customers of M/M/1, M/M/c or M/G/1, or of a shared link (M/G/1 with
processor sharing), whose mean time E[S]/(1 - rho) does not depend on the law of S beyond its mean.
Closed: n clients think for an exponential time and then send (machine repair).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from afl_sim.theory.formulas import multiserver_time, repair_rate, single_server_time
from afl_sim.theory.oracle import EXPONENTIAL, LAWS, Experiment, Oracle, fleet
from afl_sim.theory.timing import MODEL_BYTES, Updates

POPULATION = 400
SECOND_MOMENTS = {"constant": 1.0, "exponential": 2.0, "lognormal": math.e}  # of mean 1
CLIENTS, THINKING, SERVICES = 10, 0.1, 0.5


class PoissonTasks:
    """Sends tasks at the instants of a Poisson process, and uses each update as it arrives."""

    reads_results = False
    waits_for_all = False
    waits_again = False
    queues_at_clients = False

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def schedule(self, server: Any) -> Iterator[Any]:
        server.spawn(self._send(server))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])

    def _send(self, server: Any) -> Iterator[Any]:
        sent = 0
        while True:
            yield server.sleep(-math.log(server.uniform("gap", 0, sent)) / self.rate)
            server.dispatch(server.pick_one())
            sent += 1


def _open(kind: str, law: str, rate: float, slots: int = 1, updates: int = 4000) -> Experiment:
    link: dict[str, Any] = {"kind": kind, "bandwidth": MODEL_BYTES, **LAWS[law]}
    if kind == "fifo":
        link["slots"] = slots
    anyone = {"kind": "fedasync", "concurrency": 1}
    fields = fleet(
        POPULATION,
        anyone,
        {"seconds_per_task": 0},
        updates=updates,
        server={"upload": link},
    )
    return Experiment(fields, 400, PoissonTasks(rate))


def _mean_time(run: Updates) -> float:
    return float(run.sojourn.mean())


def _rate(run: Updates) -> float:
    return 1 / run.seconds_each


def oracles() -> Iterator[Oracle]:
    """Mean times on links, and the throughput of a closed system."""
    rate = 0.6
    one_server = _open("fifo", "exponential", rate)
    yield Oracle(
        "queues.m-m-1",
        f"M/M/1: W = 1/(mu - l), l = {rate:g}, mu = 1",
        multiserver_time(1, rate, 1.0),
        one_server,
        _mean_time,
        (1.0, single_server_time(rate, 1.0, 1.0)),
    )
    yield Oracle(
        "queues.little",
        f"M/M/1: L = l W = rho/(1 - rho) transfers on the link (Little), rho = {rate:g}",
        rate * multiserver_time(1, rate, 1.0),
        one_server,
        lambda run: run.uploading,
        (rate, rate**2 / (1 - rate)),  # those served, and those that wait
    )
    rate, servers = 1.8, 3
    yield Oracle(
        "queues.m-m-c",
        f"M/M/c: W = C(c, l/mu)/(c mu - l) + 1/mu, Erlang C, l = {rate:g}, mu = 1, c = {servers}",
        multiserver_time(servers, rate, 1.0),
        _open("fifo", "exponential", rate, servers, updates=6000),
        _mean_time,
        (1.0, 1 / (servers - rate), 1 + 1 / (servers - rate)),
    )
    rate = 0.5
    for law in ("constant", "lognormal"):
        exact = single_server_time(rate, 1.0, SECOND_MOMENTS[law])
        yield Oracle(
            f"queues.m-g-1.{law}",
            f"M/G/1: W = E[S] + l E[S^2]/(2 (1 - rho)), l = {rate:g}, {law} S of mean 1",
            exact,
            _open("fifo", law, rate, updates=8000),
            _mean_time,
            (1.0, 1 / (1 - rate)),
        )
        yield Oracle(
            f"queues.shared.{law}",
            f"M/G/1 shared: W = E[S]/(1 - rho), whatever the law, l = {rate:g}, {law} S of mean 1",
            1 / (1 - rate),
            _open("shared", law, rate, updates=6000),
            _mean_time,
            (1.0, exact),
        )
    exact = repair_rate(CLIENTS, THINKING, SERVICES)
    compute = {"seconds_per_task": 1 / THINKING, **EXPONENTIAL}
    everyone = {"kind": "fedasync", "concurrency": "all"}
    for kind, law in (("fifo", "exponential"), ("shared", "lognormal")):
        link = {"kind": kind, "bandwidth": MODEL_BYTES * SERVICES, **LAWS[law]}
        fields = fleet(CLIENTS, everyone, compute, updates=3200, server={"upload": link})
        closed = Experiment(fields, 200)
        about = f"n = {CLIENTS}, l = {THINKING:g}, mu = {SERVICES:g}, {kind}, {law} transfers"
        yield Oracle(
            f"queues.repair.rate.{kind}",
            f"machine repair: X = mu (1 - p_0), p_k ~ n!/(n - k)! (l/mu)^k, {about}",
            exact,
            closed,
            _rate,
            (CLIENTS / (1 / THINKING + 1 / SERVICES), CLIENTS * THINKING),
        )
        yield Oracle(
            f"queues.repair.cycle.{kind}",
            f"machine repair: thinking and sending take n/X (Little), {about}",
            CLIENTS / exact,
            closed,
            _mean_time,
            (1 / THINKING + 1 / SERVICES, CLIENTS / SERVICES + 1 / THINKING),
        )
