"""Data of figures from a run's events: by task, by client, by round, over time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from afl_sim.analysis.measures import changes, has_events
from afl_sim.recording import Run

if TYPE_CHECKING:
    import numpy.typing as npt

LEGS: Final = ("download", "queueing", "compute", "upload", "buffer")
_MICRO: Final = 1e6
_LINK: Final = r'"link_us": (\d+)'


def horizon(run: Run) -> float:
    """Virtual seconds from the beginning to the last event; as its summary says if it has none."""
    if not has_events(run):
        return float(run.summary.get("virtual_seconds") or 0.0)
    return float(run.events["time_us"].iloc[-1]) / _MICRO if len(run.events) else 0.0


def client_count(run: Run) -> int:
    """How many clients there are, whether or not they ever got a task."""
    named = 0
    if has_events(run) and run.events["client"].notna().any():
        named = int(run.events["client"].max()) + 1
    clients = run.scenario.get("clients")
    written = clients.get("count") if isinstance(clients, dict) else None
    return max(named, int(written or 0))


def compute_seconds(run: Run) -> pd.Series:
    """Seconds that each finished task computed, indexed by client."""
    tasks = run.tasks
    begin = tasks["started"].fillna(tasks["dispatched"])
    spent = (tasks["computed"] - begin).dropna().astype("float64") / _MICRO
    return pd.Series(spent.to_numpy(), index=tasks.loc[spent.index, "client"].astype("int64"))


def speeds(runs: Sequence[Run]) -> pd.Series:
    """Mean compute seconds per finished task of each client, over runs of one population."""
    return pd.concat([compute_seconds(run) for run in runs]).groupby(level=0).mean()


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
    return bool((run.events["kind"] == "queued").any())


def leg_seconds(run: Run) -> pd.DataFrame:
    """Seconds that each arrived task spent in each leg; ``buffer`` is the wait at the server.

    Columns: ``client``, ``download``, ``queueing`` (behind others of its client), ``compute``,
    ``upload``, ``buffer`` (from its arrival until it was aggregated; missing where it never was).
    """
    tasks = run.tasks[run.tasks["arrived"].notna()]
    moments = ["dispatched", "downloaded", "started", "computed", "arrived", "aggregated"]
    at = tasks[moments].astype("float64") / _MICRO
    # A leg that is absent ends where it begins.
    inner = moments[:4]
    at[inner[1:]] = at[inner].ffill(axis=1).iloc[:, 1:]
    spans = {
        leg: at[end] - at[begin]
        for leg, begin, end in zip(LEGS, moments, moments[1:], strict=False)
    }
    return pd.DataFrame({"client": tasks["client"].astype("int64"), **spans})


def update_share(run: Run) -> pd.Series:
    """Each client's share of the aggregated updates, 0 to 1; the index holds every client."""
    tasks = run.tasks
    used = tasks.loc[tasks["aggregated"].notna(), "client"].astype("int64")
    everyone = pd.RangeIndex(client_count(run))
    return used.value_counts(normalize=True).reindex(everyone, fill_value=0.0)


def idle_share(run: Run) -> pd.Series:
    """Each client's share of the run without a task, 0 to 1; the index holds every client."""
    length = horizon(run)
    tasks = run.tasks.sort_values(["client", "dispatched"], kind="stable")
    client = tasks["client"].astype("int64")
    begin = tasks["dispatched"].astype("float64") / _MICRO
    end = (tasks["ended"].astype("float64") / _MICRO).fillna(length)
    # Tasks of one client may overlap: each counts from the end of those before it.
    before = end.groupby(client).cummax().groupby(client).shift(fill_value=0.0)
    busy = (end - np.maximum(begin, before)).clip(lower=0.0).groupby(client).sum()
    everyone = pd.RangeIndex(client_count(run))
    return 1 - busy.reindex(everyone, fill_value=0.0) / length if length else busy * 0.0


def staleness_rows(run: Run) -> pd.DataFrame:
    """Aggregated updates in order: ``seconds``, ``client``, ``staleness`` (versions)."""
    rows = run.events[(run.events["kind"] == "aggregated").to_numpy()]
    rows = rows[rows["staleness"].notna().to_numpy()]
    return pd.DataFrame(
        {
            "seconds": rows["time_us"].to_numpy(dtype="float64") / _MICRO,
            "client": rows["client"].to_numpy(dtype="int64"),
            "staleness": rows["staleness"].to_numpy(dtype="int64"),
        }
    )


def rounds(run: Run) -> pd.DataFrame:
    """The run's synchronous rounds: versions of tasks that were sent out at one moment.

    Columns: ``version``, ``seconds`` (that it took, until the last arrival), ``last`` (the client
    that arrived last), ``waiting`` (the share of the round that its clients were done and waited,
    on average) and ``alone`` (the share in which only the last was still missing). Empty unless
    nine in ten versions are such rounds: a buffer may hold tasks of one moment by accident.
    """
    empty = pd.DataFrame(columns=["version", "seconds", "last", "waiting", "alone"])
    tasks = run.tasks[run.tasks["aggregated"].notna()]
    if not len(tasks):
        return empty
    frame = pd.DataFrame(
        {
            "version": tasks["version"].astype("int64"),
            "client": tasks["client"].astype("int64"),
            "sent": tasks["dispatched"].astype("float64"),
            "spent": (tasks["arrived"] - tasks["dispatched"]).astype("float64") / _MICRO,
        }
    ).sort_values(["version", "spent"], kind="stable")
    grouped = frame.groupby("version")
    table = grouped["spent"].agg(["size", "mean", "max"])
    second = grouped["spent"].nth(-2)
    second.index = frame.loc[second.index, "version"]
    table["second"] = second
    table["last"] = grouped["client"].last()
    is_round = (table["size"] > 1) & (grouped["sent"].nunique() == 1) & (table["max"] > 0)
    if is_round.mean() < 0.9:
        return empty
    table = table[is_round]
    return pd.DataFrame(
        {
            "version": table.index,
            "seconds": table["max"],
            "last": table["last"],
            "waiting": 1 - table["mean"] / table["max"],
            "alone": 1 - table["second"] / table["max"],
        }
    ).reset_index(drop=True)


def transfers(run: Run) -> pd.DataFrame:
    """Transfers that took time, a row each.

    Columns: ``direction`` (download, upload), ``begin`` and ``end`` (s), ``bytes``, and of the part
    that they spent on the server's link, waiting included, ``link_begin`` and ``link_end`` (s). Of
    an upload that was lost and repeated that is the last time. Those under way when the run ended
    are left out: they have no end.
    """
    events = run.events
    tasks = run.tasks
    parts = []
    for direction, begin, end in (
        ("download", "dispatched", "downloaded"),
        ("upload", "computed", "arrived"),
    ):
        rows = events[(events["kind"] == end).to_numpy() & events["task"].notna().to_numpy()]
        found = rows.drop_duplicates(["client", "task"]).set_index(["client", "task"])
        done = tasks[tasks[begin].notna() & tasks[end].notna()]
        key = pd.MultiIndex.from_frame(done[["client", "task"]])
        link = found["context"].str.extract(_LINK, expand=False).astype("float64").reindex(key)
        edge = "link_begin" if direction == "upload" else "link_end"
        parts.append(
            pd.DataFrame(
                {
                    "direction": direction,
                    "begin": done[begin].to_numpy(dtype="float64") / _MICRO,
                    "end": done[end].to_numpy(dtype="float64") / _MICRO,
                    "bytes": found["bytes"].reindex(key).fillna(0).to_numpy(dtype="float64"),
                    edge: link.to_numpy() / _MICRO,
                }
            )
        )
    table = pd.concat(parts, ignore_index=True)
    # Without a path of the client's own the link is all of the way.
    table["link_begin"] = table["link_begin"].fillna(table["begin"])
    table["link_end"] = table["link_end"].fillna(table["end"])
    return table[table["end"] > table["begin"]].reset_index(drop=True)


def bytes_until(run: Run, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bytes that had been transferred, both ways, at moments of virtual time."""
    moved = changes(run.events, {"downloaded": 1, "arrived": 1}) > 0
    at = run.events["time_us"].to_numpy()[moved] / _MICRO
    total = np.append(0, np.cumsum(run.events["bytes"].to_numpy()[moved]))
    return total[np.searchsorted(at, seconds, side="right")].astype("float64")


def mean_in_bins(
    at: npt.NDArray[np.float64], values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The mean of the values in each bin; NaN in a bin that has none."""
    place = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    sums = np.bincount(place, weights=values, minlength=len(edges) - 1)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def occupancy(
    begin: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float64],
    least: int = 0,
    most: float = np.inf,
) -> npt.NDArray[np.float64]:
    """How many of the spans are under way, on average over time, in each bin.

    Args:
        least: count only those beyond so many: a line behind that many servers.
        most: count no more than so many: that many servers at work.
    """
    moments = np.concatenate([begin, end])
    steps = np.concatenate([np.ones(len(begin)), -np.ones(len(end))])
    order = np.argsort(moments, kind="stable")
    moments = moments[order]
    count = np.clip(np.cumsum(steps[order]) - least, 0, most)
    # The integral of the count up to each moment, then to the bins' edges.
    area = np.append(0.0, np.cumsum(np.diff(moments) * count[:-1]))
    mean: npt.NDArray[np.float64] = np.diff(np.interp(edges, moments, area)) / np.diff(edges)
    return mean
