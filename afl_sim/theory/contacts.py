"""How often the server reaches a client: by polls, and when clients come and go.

A server that polls s of n clients at a time meets each with probability s/n, so that the rounds
between two contacts are geometric. Steps of exponential length are a Poisson process, of which a
poll finds at most K done. Clients that are there in a period with probability p_i, independently,
have all appeared after the maximum of geometric numbers of periods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from afl_sim.theory.formulas import all_have_appeared, capped_poisson
from afl_sim.theory.oracle import EXPONENTIAL, Experiment, Oracle, fleet

CLIENTS, POLLED, STEPS, INTERVAL = 12, 3, 5, 4.0
PRESENCE = (0.5, 0.2, 0.8, 0.35)


class EverybodyInTurn:
    """Sends every client a task at the start of a period, and goes on when all have delivered."""

    reads_results = False
    waits_for_all = False
    waits_again = False
    queues_at_clients = False

    def schedule(self, server: Any) -> Iterator[Any]:
        while True:
            tasks = server.dispatch(range(server.clients))
            updates = yield server.wait(tasks)
            yield server.aggregate(updates)
            yield server.sleep(1)


def _polling(clients: int, polled: int, updates: int) -> Experiment:
    strategy = {
        "kind": "quafl",
        "clients_per_round": polled,
        "local_steps": STEPS,
        "interaction_seconds": INTERVAL,
    }
    compute = {"seconds_per_step": 1.0, **EXPONENTIAL, "jitter_per": "step"}
    return Experiment(fleet(clients, strategy, compute, updates=updates), warm_up=20 * polled)


def oracles() -> Iterator[Oracle]:
    """Contacts and steps of polled clients; waiting for everybody to appear."""
    geometric, p = _polling(CLIENTS, POLLED, 3000), POLLED / CLIENTS
    yield Oracle(
        "contacts.polled.mean",
        f"rounds between contacts: mean n/s, n = {CLIENTS}, s = {POLLED}",
        1 / p,
        geometric,
        lambda run: float(run.staleness.mean()),
        (1 / p - 1, 1 / p + 1),
    )
    for k in (1, 3):
        exact = p * (1 - p) ** (k - 1)
        yield Oracle(
            f"contacts.polled.{k}",
            f"P(k rounds between contacts) = s/n (1 - s/n)^(k - 1), k = {k}",
            exact,
            geometric,
            _share_of(k),
            (exact * (1 - p), exact / (1 - p)),
        )
    exact = capped_poisson(STEPS, INTERVAL)
    yield Oracle(
        "contacts.steps",
        f"steps at a poll: E[min(K, N)] = sum_(k <= K) P(N >= k), N Poisson({INTERVAL:g}), "
        f"K = {STEPS}",
        exact,
        _polling(POLLED, POLLED, 1500),
        lambda run: float(run.steps.mean()),
        (INTERVAL, STEPS, capped_poisson(STEPS - 1, INTERVAL), capped_poisson(STEPS + 1, INTERVAL)),
    )
    exact = all_have_appeared(PRESENCE)
    fields = fleet(
        len(PRESENCE),
        {"kind": "fedasync", "concurrency": 1},
        {"seconds_per_task": 0},
        updates=800 * len(PRESENCE),
        availability={
            "kind": "bernoulli",
            "probability": {"values": list(PRESENCE)},
            "every_seconds": 1.0,
            "on_leave": "finish",
        },
    )
    yield Oracle(
        "contacts.appeared",
        "periods until all have appeared = sum_t 1 - prod_i(1 - (1 - p_i)^t), p = "
        + ", ".join(f"{p:g}" for p in PRESENCE),
        exact,
        Experiment(fields, script=EverybodyInTurn()),
        lambda run: float(run.rounds()[1:].mean()),
        (exact - 1, 1 / min(PRESENCE)),
    )


def _share_of(rounds: int) -> Any:
    return lambda run: float((run.staleness == rounds).mean())
