"""Data of figures from a run's events: by task, by client, by round, over time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from afl_sim.analysis.measures import has_events
from afl_sim.analysis.tally import tally
from afl_sim.recording import Run
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, DOWNLOADED, REFRESHED

if TYPE_CHECKING:
    import numpy.typing as npt

_MICRO: Final = 1e6


def horizon(run: Run) -> float:
    """Virtual seconds from the beginning to the last event; as its summary says if it has none."""
    if not has_events(run):
        return float(run.summary.get("virtual_seconds") or 0.0)
    return run.end_us / _MICRO


def client_count(run: Run) -> int:
    """How many clients there are, whether or not they ever got a task."""
    clients = run.scenario.get("clients")
    written = clients.get("count") if isinstance(clients, dict) else None
    if written is not None or not has_events(run):
        return int(written or 0)
    named = tally(run).clients.clients
    return int(named[-1]) + 1 if len(named) else 0


def has_computed(run: Run) -> bool:
    """Whether a task of the run was computed."""
    return bool(tally(run).clients["computed"].any())


def speeds(runs: Sequence[Run]) -> pd.Series:
    """Mean compute seconds per finished task of each client, over runs of one population.

    The index holds the clients that finished a task, ascending.
    """
    tables = [computed(run) for run in runs]
    table = tables[0] if len(tables) == 1 else pd.concat(tables).groupby(level=0).sum()
    found: pd.Series = table["compute_us"] / table["computed"] / _MICRO
    return found.rename(None)


def computed(run: Run) -> pd.DataFrame:
    """By client: ``computed``, how many tasks were, and ``compute_us``, microseconds of all."""
    clients = tally(run).clients
    names = ("computed", "compute_us")
    table = pd.DataFrame(
        {name: clients[name] for name in names}, index=pd.Index(clients.clients, name="client")
    )
    return table[table["computed"] > 0]


def populations(runs: Sequence[Run], with_seed: bool = True) -> list[list[Run]]:
    """Runs grouped by what decides how long their clients compute, in order of appearance."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        training = run.scenario.get("training") or {}
        work = {key: training.get(key) for key in ("epochs", "steps", "batch_size", "drop_last")}
        sections = [run.scenario.get(key) for key in ("clients", "data")]
        seed = run.scenario.get("seed") if with_seed else None
        found.setdefault(json.dumps([sections, work, seed], default=str), []).append(run)
    return list(found.values())


def speeds_by_run(runs: Sequence[Run]) -> dict[Path, pd.Series]:
    """For each run, by its folder, the `speeds` of its population.

    A run thereby knows of clients that finished a task in other runs only.
    """
    found = {}
    for family in populations(runs):
        known = speeds(family)
        found.update({run.path: known for run in family})
    return found


def by_speed(known: pd.Series, run: Run) -> list[int]:
    """A run's clients from the fastest to the slowest; those of unknown speed come last.

    Args:
        known: the `speeds` of its population.
    """
    order = known.sort_values(kind="stable").index.tolist()
    rest = sorted(set(range(client_count(run))) - set(order))
    return [*order, *rest]


def has_queues(run: Run) -> bool:
    """Whether a task had to wait behind another of its client."""
    return tally(run).has_queues


def update_share(run: Run) -> pd.Series:
    """Each client's share of the aggregated updates, 0 to 1; the index holds every client."""
    clients = tally(run).clients
    used = pd.Series(clients["used"], index=clients.clients)
    total = used.sum()
    everyone = pd.RangeIndex(client_count(run))
    return (used / total if total else used * 0.0).reindex(everyone, fill_value=0.0)


def idle_share(run: Run) -> pd.Series:
    """Each client's share of the run without a task, 0 to 1; the index holds every client."""
    found = tally(run)
    busy = pd.Series(found.busy.until(found.end_us) / _MICRO, index=found.busy.of.clients)
    length = found.end_us / _MICRO
    everyone = pd.RangeIndex(client_count(run))
    return 1 - busy.reindex(everyone, fill_value=0.0) / length if length else busy * 0.0


def mean_staleness_by_client(run: Run) -> pd.Series:
    """Mean staleness (versions) of the aggregated updates of each client that has any."""
    clients = tally(run).clients
    table = pd.DataFrame(
        {"updates": clients["updates"], "staleness": clients["staleness"]},
        index=pd.Index(clients.clients, name="client"),
    )
    table = table[table["updates"] > 0]
    return table["staleness"] / table["updates"]


def has_updates(run: Run) -> bool:
    """Whether an update of the run was aggregated."""
    return len(tally(run).staleness) > 0


def staleness_batches(
    run: Run,
) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Aggregated updates in order, part by part: seconds, clients and staleness (versions)."""
    for batch in run.event_batches("time_us", "kind", "client", "staleness"):
        rows = (batch["kind"] == AGGREGATED) & (batch["staleness"] >= 0)
        yield batch["time_us"][rows] / _MICRO, batch["client"][rows], batch["staleness"][rows]


def staleness_rows(run: Run) -> pd.DataFrame:
    """Aggregated updates in order: ``seconds``, ``client``, ``staleness`` (versions).

    Of a long run it is large; `staleness_batches` gives the same part by part.
    """
    names = ("seconds", "client", "staleness")
    batches = list(staleness_batches(run))
    if not batches:
        return pd.DataFrame({name: np.empty(0, dtype=np.int64) for name in names})
    columns = zip(*batches, strict=True)
    return pd.DataFrame(
        {name: np.concatenate(parts) for name, parts in zip(names, columns, strict=True)}
    )


def rounds(run: Run) -> pd.DataFrame:
    """The run's synchronous rounds: versions of tasks that were sent out at one moment.

    Columns: ``version``, ``seconds`` (that it took, until the last arrival), ``last`` (the client
    that arrived last), ``waiting`` (the share of the round that its clients were done and waited,
    on average), ``alone`` (the share in which only the last was still missing) and ``rounds``. Of
    very many rounds a row has the means of so many in a row, and no ``last``. Empty unless nine in
    ten versions are such rounds.
    """
    return tally(run).rounds.table()


def bytes_until(run: Run, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bytes that had been transferred, both ways, at moments of virtual time."""
    found = np.zeros(len(seconds))
    for batch in run.event_batches("time_us", "kind", "bytes"):
        moved = np.isin(batch["kind"], (DOWNLOADED, REFRESHED, ARRIVED))
        total = np.append(0, np.cumsum(batch["bytes"][moved]))
        at = batch["time_us"][moved] / _MICRO
        found += total[np.searchsorted(at, seconds, side="right")]
    return found


def mean_in_bins(
    at: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float64],
    weights: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float64]:
    """The mean of the values in each bin; NaN in a bin that has none.

    Args:
        weights: how often each value counts; default once.
    """
    place = bins_of(at, edges)
    times = np.ones(len(place), dtype=np.int64) if weights is None else weights
    counts = np.bincount(place, weights=times, minlength=len(edges) - 1)
    sums = np.bincount(place, weights=values * times, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def bins_of(at: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bin of each place; the first and the last one hold what lies outside."""
    found: npt.NDArray[np.int64] = np.searchsorted(edges, at, side="right") - 1
    return np.clip(found, 0, len(edges) - 2)
