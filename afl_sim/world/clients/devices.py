"""Clients that are devices of a trace: speed and links of each come from one row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.laws import Law, elementwise
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.traces.devices import SPEEDS, Devices
from afl_sim.streams import Streams


def with_devices(clients: Clients, streams: Streams, place: Callable[[int], int]) -> Clients:
    """The ``clients`` section; the columns of the trace replace the keys that they stand for.

    Args:
        clients: the scenario's section.
        streams: the run's random streams; the device of a client is a draw of ``"devices"``.
        place: the row of a client where each row is a client.
    """
    if clients.devices is None:
        return clients
    devices = clients.devices.devices
    row = _drawn(devices, streams) if clients.devices.by == "sample" else place
    columns = {name: _column(name, values, row) for name, values in devices.columns.items()}
    compute: dict[str, Any] = {name: columns[name] for name in SPEEDS if name in columns}
    if compute:
        compute = {**dict.fromkeys(SPEEDS), **compute}
    network = {}
    for name in ("download", "upload"):
        found = {
            key: columns[f"{name}_{key}"]
            for key in ("latency", "bandwidth")
            if f"{name}_{key}" in columns
        }
        network[name] = getattr(clients.network, name).model_copy(update=found)
    return clients.model_copy(
        update={
            "compute": clients.compute.model_copy(update=compute),
            "network": clients.network.model_copy(update=network),
        }
    )


def _drawn(devices: Devices, streams: Streams) -> Callable[[int], int]:
    """The row of each client; all columns of a client come from the same row."""
    ends = list(accumulate(devices.weights))
    last = len(ends) - 1

    def row(client: int) -> int:
        return min(bisect_right(ends, streams.uniform("devices", client)), last)

    return row


def _column(name: str, values: tuple[float, ...], row: Callable[[int], int]) -> Distribution:
    def quantile(u: float, client: int, k: int) -> float:
        return values[row(client)]

    law = Law(
        quantile=quantile,
        quantiles=elementwise(quantile),
        mean=lambda client: values[row(client)],
        positive=min(values) > 0,
        constant=values[0] if min(values) == max(values) else None,
    )
    return Distribution.of(law, {"device": name})
