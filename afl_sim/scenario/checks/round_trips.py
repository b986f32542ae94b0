"""Which strategies and selections use the mean time of clients' tasks, and whether it exists."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.mistakes.explain import Finding


def times_without_a_mean(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """A strategy or a selection that goes by mean round trips, where a law of theirs has no mean.

    Args:
        sections: the valid ones among a scenario's attributes, by name.
    """
    clients, server = sections.get("clients"), sections.get("server")
    if clients is None or server is None:
        return
    strategy = sections.get("strategy")
    who: list[tuple[tuple[str, ...], str, str]] = []
    if strategy is not None and getattr(strategy, "needs_mean_times", False):
        who.append((("strategy",), f"{strategy.kind} uses mean round trips", "strategy"))
    selection = server.selection
    if selection.kind == "weighted" and selection.by == "speed" and selection.exponent != 0:
        who.append((("server", "selection", "by"), "got 'speed'", "selection"))
    if not who:
        return
    for key in laws_without_a_mean(clients, server, sections.get("training")):
        for path, begin, another in who:
            yield Finding(path, f"{begin}, {without_a_mean(key, another)}")


def laws_without_a_mean(clients: Any, server: Any, training: Any) -> Iterator[str]:
    """The keys of the laws because of which a client has no mean round trip.

    Args:
        clients, server, training: these sections of a scenario.
    """
    for key, law in _drawn_per_task(clients, server, training).items():
        if not all(math.isfinite(law.mean(client)) for client in range(law.length or 1)):
            yield key


def without_a_mean(key: str, another: str) -> str:
    """The end of a message about such a law, and what may be used instead."""
    return (
        f"but {key} has no finite mean, so a client's mean round trip is infinite; expected a "
        f"distribution with a finite mean, or another {another}"
    )


def _drawn_per_task(clients: Any, server: Any, training: Any) -> dict[str, Distribution]:
    """The laws from which a round trip is drawn anew for each task, by their keys."""
    found: dict[str, Distribution] = {}
    for name, link in (("download", server.download), ("upload", server.upload)):
        if link.bandwidth is not None or link.kind != "uncontended":  # else it takes no time
            found[f"server.{name}.jitter"] = link.jitter
    for path, part in _parts(clients):
        compute, network = part.compute, part.network
        found[f"{path}.network.download.jitter"] = network.download.jitter
        found[f"{path}.network.upload.jitter"] = network.upload.jitter
        if compute.max_seconds is None:
            found[f"{path}.compute.jitter"] = compute.jitter
            found[f"{path}.compute.jitter_seconds"] = compute.jitter_seconds
            if training is not None and compute.unit != "task":
                amount = "steps" if training.epochs is None else "epochs"
                found[f"training.{amount}"] = training.steps or training.epochs
    return found


def _parts(clients: Any) -> Iterator[tuple[str, Any]]:
    """The fleet, or its groups, with their key paths."""
    if not clients.groups:
        yield "clients", clients
    for index, group in enumerate(clients.groups):
        yield f"clients.groups.{index}", group
