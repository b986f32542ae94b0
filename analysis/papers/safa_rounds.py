"""The rounds of SAFA and FedAvg in the authors' books: who is picked, and how long a round took.

In the authors' simulation everybody who does not crash has answered by the end of a round, which is
said to take as long as the slowest client picked, plus the distribution of the model. The clock of
the runs waits for all (`round_ends: all`), and that length is kept here, in the books.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from afl_sim.recording import Run

ROUNDS: Final = 50
TRANSFERS: Final = 2 * 10 / 0.175
"""Seconds that a model of 10 MB takes to a client and back, at 0.175 MB/s."""
LONGEST: Final = 5600.0
"""Seconds that a client may take; a slower one is never picked."""
PER_SYNC: Final = 10 / 1250
"""Seconds that the server takes to send the model to one client, 10 MB at 1250 MB/s."""


@dataclass(frozen=True)
class Round:
    """What happened in a round in which the server waited for all.

    Attributes:
        clients: who answered, in order of arrival.
        seconds: how long each took from dispatch to arrival.
        samples: how many samples each trained.
        synced: how many clients were sent the global model.
    """

    clients: tuple[int, ...]
    seconds: tuple[float, ...]
    samples: tuple[int, ...]
    synced: int


Order = Callable[[Round], Sequence[float]]
"""A key for each client that answered; the smallest is picked first."""


def by_speed(found: Round) -> Sequence[float]:
    """The fastest first, in samples per second of computation, as the authors' code picks."""
    pairs = zip(found.seconds, found.samples, strict=True)
    return [(seconds - TRANSFERS) / samples for seconds, samples in pairs]


def by_arrival(found: Round) -> Sequence[float]:
    """First come, first merged, as the paper says."""
    return found.seconds


def rounds(run: Run) -> list[Round]:
    """The rounds of a run of SAFA, each of which made a version."""
    columns = ("kind", "client", "task", "version", "time_us", "samples", "context")
    events = run.event_columns(*columns)
    sent: dict[tuple[int, int], int] = {}
    arrived: dict[tuple[int, int], int] = {}
    went_out: dict[int, list[int]] = {}
    answers: dict[int, list[tuple[int, float, int]]] = {}
    staying: dict[int, set[str]] = {0: set()}
    for kind, client, task, version, time_us, samples, context in zip(
        *(events[name].tolist() for name in columns), strict=True
    ):
        if kind == "dispatched":
            sent[client, task] = time_us
            went_out.setdefault(version, []).append(client)
        elif kind == "arrived":
            arrived[client, task] = time_us
        elif kind == "aggregated":
            if version not in answers:
                staying[version] = set(json.loads(context)["going_on"])
            seconds = (arrived[client, task] - sent[client, task]) / 1e6
            answers.setdefault(version, []).append((client, seconds, samples))
    found = []
    for version, rows in sorted(answers.items()):
        clients, durations, sizes = zip(*rows, strict=True)
        stay = staying[version - 1]
        synced = sum(str(client) not in stay for client in went_out[version - 1])
        found.append(Round(clients, durations, sizes, synced))
    return found


def picks(found: Sequence[Round], quota: int, order: Order = by_speed) -> Iterator[list[int]]:
    """The places of those picked in each round: who was not picked in the last one goes first."""
    last: set[int] = set()
    for answered in found:
        keys = order(answered)
        places = range(len(answered.clients))
        fit = [i for i in places if answered.seconds[i] < LONGEST - 1e-3]
        turn = sorted(fit, key=lambda i: (answered.clients[i] in last, keys[i]))[:quota]
        last = {answered.clients[i] for i in turn}
        yield turn


def round_seconds(
    found: Sequence[Round], fraction: float, order: Order = by_speed, *, adds_up: bool = True
) -> float:
    """The mean length of SAFA's rounds.

    Args:
        found: the rounds.
        fraction: C, the share of clients picked.
        order: who is picked first.
        adds_up: whether the time of distribution counts the models sent in all rounds so far, as in
            the authors' code, or those of the round.
    """
    quota = round(fraction * 100)
    slowest = [
        max(answered.seconds[i] for i in turn)
        for answered, turn in zip(found, picks(found, quota, order), strict=True)
    ]
    return float(np.mean(slowest)) + distribution([r.synced for r in found], adds_up)


def distribution(synced: Sequence[int], adds_up: bool = True) -> float:
    """The mean time of distributing the model in a round."""
    return PER_SYNC * float(np.mean(np.cumsum(synced) if adds_up else synced))


def fedavg_round_seconds(run: Run) -> float:
    """The mean length of FedAvg's first 50 rounds, those included that nobody answered."""
    events = run.event_columns("time_us", "kind")
    begins, sizes = np.unique(
        events["time_us"].to_numpy()[(events["kind"] == "dispatched").to_numpy()],
        return_counts=True,
    )
    ends = np.append(begins[1:], round(run.summary["virtual_seconds"] * 1e6))
    lengths = (ends - begins)[:ROUNDS] / 1e6
    return float(np.mean(lengths)) + distribution(sizes[:ROUNDS].tolist())
