"""Who holds which samples, printed and drawn for ``validate --show``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.data.datasets import load_annotations
from afl_sim.learning.data.form import form_of
from afl_sim.learning.partition import Partition
from afl_sim.run.preparation import deal_out
from afl_sim.scenario import Scenario, Study
from afl_sim.streams import Streams

_SHOWN = 100  # clients
_COLUMNS = 20  # labels with a column of their own; more are only drawn
_WIDTH = 16  # characters of the longest bar
_LEVELS = "▁▂▃▄▅▆▇█"

Ints = npt.NDArray[np.int64]


def show_partition(study: Study) -> None:
    """Print and draw who holds which samples, for each different partition of a study."""
    shown = set()
    for case in study.cases:
        scenario = case.scenario
        by_fleet = scenario.data.speed_correlation is not None or scenario.clients.groups
        fleet = scenario.clients if by_fleet else scenario.clients.count
        key = (scenario.data, fleet, scenario.seed)
        if key not in shown:
            shown.add(key)
            holdings = _holdings(scenario, case.label)
            for part in (_table(holdings), _drawing(holdings)):
                print_whole(part)


def print_whole(part: Any) -> None:
    """Print a table, however narrow the screen is: a number that is cut short is a wrong one."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    wanted = Measurement.get(console, console.options.update(max_width=10_000), part).maximum
    Console(width=max(console.width, wanted)).print(part)


@dataclass(frozen=True)
class _Holdings:
    """What the first clients hold.

    Attributes:
        title, caption: what is shown.
        sizes: samples of each client.
        counts: samples by client and label, shape (clients, labels); None if samples have no
            single label.
        header: the names of the labels.
        owners: the names of the data's own clients, if each client is one of them.
    """

    title: str
    caption: str | None
    sizes: Ints
    counts: Ints | None
    header: list[str]
    owners: list[str] | None


def _holdings(scenario: Scenario, label: str) -> _Holdings:
    streams = Streams(scenario.seed)
    samples = load_annotations(scenario.data, streams)
    partition = deal_out(scenario, samples, streams).training
    counts = partition.label_counts(samples.labels, samples.classes, first=_SHOWN)
    target = form_of(scenario.data).target
    labels = range(samples.classes)
    return _Holdings(
        f"{label}: {scenario.data.title}, {scenario.data.partition.kind}, "
        f"{partition.clients} clients",
        f"the first {_SHOWN} clients" if partition.clients > _SHOWN else None,
        counts.sum(axis=1),
        counts if target in ("class", "number") else None,
        [f"bin {name}" if target == "number" else str(name) for name in labels],
        _owners(scenario, samples, partition, len(counts)),
    )


def _table(held: _Holdings) -> Any:
    from rich.table import Table

    table = Table(title=held.title, caption=held.caption)
    table.add_column("client", justify="right")
    table.add_column("samples", justify="right")
    counts = held.counts
    if counts is None or counts.shape[1] > _COLUMNS:
        counts = held.sizes[:, None][:, :0]
    for name in held.header[: counts.shape[1]]:
        table.add_column(name, justify="right")
    for client, row in enumerate(counts):
        cells = [str(count) if count else "·" for count in row]
        table.add_row(str(client), str(held.sizes[client]), *cells)
    return table


def _drawing(held: _Holdings) -> Any:
    """A line for each client: a bar for its samples, and small bars for its labels."""
    from rich.table import Table

    drawing = Table(box=None, padding=(0, 1))
    drawing.add_column("client", justify="right")
    if held.owners is not None:
        drawing.add_column("is", no_wrap=True)
    drawing.add_column("samples", no_wrap=True)
    if held.counts is not None:
        drawing.add_column(f"labels {held.header[0]} to {held.header[-1]}", no_wrap=True)
    largest = int(held.sizes.max())
    for client, size in enumerate(held.sizes):
        cells = [str(client)]
        if held.owners is not None:
            cells.append(held.owners[client])
        cells.append(f"{bar(int(size), largest)} {size:,}")
        if held.counts is not None:
            cells.append(mix(held.counts[client]))
        drawing.add_row(*cells)
    return drawing


def bar(value: int, largest: int) -> str:
    """A bar whose length is in proportion to a value; one character at least."""
    return "█" * max(1, round(_WIDTH * value / largest)) if value else ""


def mix(counts: Ints) -> str:
    """One sign for each label: a bar whose height is its number in proportion to the largest."""
    largest = max(int(counts.max()), 1)
    steps = len(_LEVELS)
    return "".join(
        _LEVELS[min(steps - 1, int(count) * steps // largest)] if count else "·" for count in counts
    )


def _owners(
    scenario: Scenario, samples: Annotations, partition: Partition, clients: int
) -> list[str] | None:
    """The names of the data's own clients, if each client is one of them."""
    if scenario.data.partition.kind != "natural" or samples.owners is None:
        return None
    held = [int(samples.owners[partition.indices(client)[0]]) for client in range(clients)]
    return [samples.owner_names[owner] if samples.owner_names else str(owner) for owner in held]
