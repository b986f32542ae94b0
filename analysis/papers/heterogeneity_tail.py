"""Time to an accuracy against the tail of client speeds: five servers, lognormal sigma 0 to 2.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.papers.heterogeneity import NAMES, differences, draw_times, table
from afl_sim.analysis.papers.reaching import by_setting, seconds_to, updates_to
from afl_sim.analysis.series import staleness_rows
from afl_sim.recording import Run

KINDS: Final = ("fedavg", "fedbuff", "fedasync", "safa", "favas")
SIGMAS: Final = ("0", "0.7", "1.4", "2.1")
ROWS: Final = {
    f"{kind}-{sigma}": f"{NAMES[kind]}, sigma {sigma}" for kind in KINDS for sigma in SIGMAS
}
SPREADS: Final = {
    "alike": "All delays alike",
    "out-of-step": "A factor of each task, lognormal 0.05",
    "samples": "Samples of a client differ",
    "tasks": "A factor of each task, lognormal 0.7",
    "speeds": "Speeds, lognormal 0.7",
}
PAIRS: Final = {
    (f"{kind}-{sigma}", f"fedavg-{sigma}"): f"{NAMES[kind]} - FedAvg, sigma {sigma}"
    for kind in KINDS[1:]
    for sigma in SIGMAS
}


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Seconds to 90 % and 95 %, paired differences to FedAvg, and FedBuff by spread of delays."""
    settings = by_setting(studies.get("tail", ()))
    spread = by_setting(studies.get("spread", ()))
    return {
        "seconds_to_95": table(settings, ROWS, seconds_to(0.95)),
        "seconds_to_90": table(settings, ROWS, seconds_to(0.9)),
        "difference_to_95": differences(settings, PAIRS, seconds_to(0.95)),
        "difference_to_90": differences(settings, PAIRS, seconds_to(0.9)),
        "updates_to_95": table(spread, SPREADS, updates_to(0.95)),
        "mean_staleness": table(spread, SPREADS, mean_staleness),
        "staleness_deviation": table(spread, SPREADS, staleness_deviation),
    }


def mean_staleness(run: Run) -> float:
    """Of the updates that were aggregated, in versions."""
    return float(staleness_rows(run)["staleness"].mean())


def staleness_deviation(run: Run) -> float:
    """The standard deviation of the same."""
    return float(staleness_rows(run)["staleness"].std())


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Times to 90 % and 95 % against sigma."""
    settings = by_setting(studies.get("tail", ()))
    return draw_times(settings, KINDS, SIGMAS, "sigma of log speed")
