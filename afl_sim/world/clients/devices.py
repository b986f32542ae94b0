"""Clients that are devices of a trace: all that is measured of a client comes from one row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.elementary import each, log
from afl_sim.scenario.distributions.laws import Law, elementwise
from afl_sim.scenario.sections.availability import TracedAvailability
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.compute import SPEED_KEYS
from afl_sim.scenario.sections.energy import Power
from afl_sim.scenario.sections.memory import Memory
from afl_sim.scenario.traces.bandwidths import link_of
from afl_sim.scenario.traces.device_columns import POWERS, ROOFLINE, SAMPLES
from afl_sim.scenario.traces.devices import Devices, DeviceTrace
from afl_sim.scenario.traces.tables import number_of
from afl_sim.streams import Streams

PURPOSE = "devices"
Place = Callable[[int], int]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Together:
    """The clients that are the devices of one trace.

    Attributes:
        count: their number.
        place: the place of each of them among them.
    """

    count: int
    place: Place


def with_devices(
    clients: Clients, streams: Streams, place: Place, together: Together | None = None
) -> Clients:
    """The ``clients`` section; the columns of the trace replace the keys that they stand for.

    Args:
        clients: the scenario's section.
        streams: the run's random streams; the device of a client is a draw of ``"devices"``.
        place: the row of a client where each row is a client.
        together: those who share the trace; None: all clients of the section.
    """
    trace = clients.devices
    if trace is None:
        return clients
    row = _rows(trace, streams, place, together or Together(clients.count, place))
    columns = {
        name: _column(name, values, row)
        for name, values in trace.devices.columns.items()
        if name != SAMPLES
    }
    compute: dict[str, Any] = {name: columns[name] for name in SPEED_KEYS if name in columns}
    if compute:
        compute = {**dict.fromkeys((*SPEED_KEYS, *ROOFLINE)), **compute}
        compute |= {name: columns[name] for name in ROOFLINE if name in columns}
    network = {}
    for name in ("download", "upload"):
        found = {
            key: columns[f"{name}_{key}"]
            for key in ("latency", "bandwidth")
            if f"{name}_{key}" in columns
        }
        network[name] = getattr(clients.network, name).model_copy(update=found)
    memory = clients.memory
    if "memory" in columns:
        memory = (memory or Memory()).model_copy(update={"bytes": columns["memory"]})
    power = clients.power
    watts = {name.removeprefix("power_"): columns[name] for name in POWERS if name in columns}
    if watts:
        power = (power or Power()).model_copy(update=watts)
    return clients.model_copy(
        update={
            "memory": memory,
            "power": power,
            "compute": clients.compute.model_copy(update=compute),
            "network": clients.network.model_copy(update=network),
            "availability": _availability(clients.availability, columns),
        }
    )


def _availability(settings: Any, columns: dict[str, Distribution]) -> BaseModel:
    """The block, with the columns that stand for keys of it."""
    found: dict[str, Distribution] = {}
    for key in ("on", "off", "probability", "phase"):
        if key in columns and key in type(settings).model_fields:
            found[key] = columns[key]
            if key in ("on", "off"):
                found[key] = _of_mean(getattr(settings, key), columns[key])
    changed: BaseModel = settings.model_copy(update=found)
    return changed


def places_in_availability(
    clients: Clients, streams: Streams, place: Place, together: Together | None = None
) -> Place:
    """Which client of a trace of availability each client is, where devices say so.

    Args:
        clients, streams, together: as for `with_devices`.
        place: what holds where they do not.
    """
    trace, availability = clients.devices, clients.availability
    if trace is None or not trace.devices.presences:
        return place
    assert isinstance(availability, TracedAvailability)
    row = _rows(trace, streams, place, together or Together(clients.count, place))
    numbers = availability.presences.numbers
    found = [number_of(client, numbers) for client in trace.devices.presences]
    places = [0 if number is None else number for number in found]  # the scenario was checked
    return lambda client: places[row(client)]


def links_in_traces(
    clients: Clients, streams: Streams, place: Place, together: Together | None = None
) -> dict[str, Place]:
    """Which link of a trace of bandwidth each client has, by direction, where devices say so.

    Args:
        clients, streams, place, together: as for `with_devices`.
    """
    trace = clients.devices
    if trace is None or not trace.devices.links:
        return {}
    row = _rows(trace, streams, place, together or Together(clients.count, place))
    found: dict[str, Place] = {}
    for way in ("download", "upload"):
        traced = getattr(clients.network, way).bandwidth_trace
        if traced is not None:
            indices = [link_of(traced.links, name) for name in trace.devices.links]
            found[way] = _link_by(row, [i or 0 for i in indices])  # the scenario was checked
    return found


def _link_by(row: Place, indices: list[int]) -> Place:
    return lambda client: indices[row(client)]


def sample_counts(
    clients: Clients, streams: Streams, who: Ints, place: Place, together: Together | None = None
) -> Ints:
    """How many samples each of some clients holds, as their devices say; int64 (len(who),).

    Args:
        clients, streams, place, together: as for `with_devices`.
        who: the clients, whose devices have a column `SAMPLES`.
    """
    trace = clients.devices
    assert trace is not None
    row = _rows(trace, streams, place, together or Together(clients.count, place))
    values = trace.devices.columns[SAMPLES]
    return np.array([values[row(client)] for client in who.tolist()], dtype=np.int64)


def _rows(trace: DeviceTrace, streams: Streams, place: Place, together: Together) -> Place:
    """The row of each client; all columns of a client come from the same row."""
    if trace.by == "client":
        return place
    if trace.replacement:
        return _drawn(trace.devices, streams)
    dealt = _dealt(trace.devices, streams, together.count)
    return lambda client: dealt[together.place(client)]


def _drawn(devices: Devices, streams: Streams) -> Place:
    """Each client draws its row by itself."""
    ends = list(accumulate(devices.weights))
    last = len(ends) - 1

    def row(client: int) -> int:
        return min(bisect_right(ends, streams.uniform(PURPOSE, client)), last)

    return row


def _dealt(devices: Devices, streams: Streams, count: int) -> list[int]:
    """The rows of clients that are all different, in a random order.

    Each row waits for an exponential time of the rate of its weight, and the first ones are taken:
    so rows are drawn one by one in proportion to their weights (Efraimidis and Spirakis, 2006).
    """
    uniform = streams.uniforms(f"{PURPOSE}.order", np.arange(len(devices)))
    waits = -each(log, uniform) / np.array(devices.weights)
    taken = np.argsort(waits, kind="stable")[:count]
    order = streams.generator(f"{PURPOSE}.clients").permutation(len(taken))
    rows: list[int] = taken[order].tolist()
    return rows


def _column(name: str, values: tuple[float, ...], row: Place) -> Distribution:
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


def _of_mean(law: Distribution, mean: Distribution) -> Distribution:
    """A law that is stretched so that each client has a mean of its own."""

    def quantile(u: float, client: int, k: int) -> float:
        return law.quantile(u, client, k) * (mean.mean(client) / law.mean(client))

    constant = None if law.constant is None else mean.constant
    return Distribution.of(
        Law(
            quantile=quantile,
            quantiles=elementwise(quantile),
            mean=mean.mean,
            positive=law.positive and mean.positive,
            constant=constant,
        ),
        {"device": mean.form},
    )
