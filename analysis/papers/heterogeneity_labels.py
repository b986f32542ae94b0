"""Time to an accuracy against how closely labels go with speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from afl_sim.analysis.papers.heterogeneity import NAMES, differences, draw_times, table
from afl_sim.analysis.papers.reaching import accuracy_at_end, by_setting, seconds_to
from afl_sim.recording import Run

KINDS: Final = ("fedavg", "fedbuff", "fedasync")
STRENGTHS: Final = ("0.0", "0.5", "1.0")
ROWS: Final = {
    f"{kind}-{strength}": f"{NAMES[kind]}, strength {strength}"
    for kind in KINDS
    for strength in STRENGTHS
}
PAIRS: Final = {
    (f"{kind}-{strength}", f"{kind}-0.0"): f"{NAMES[kind]}, strength {strength} - 0.0"
    for kind in KINDS
    for strength in STRENGTHS[1:]
}


def measure(studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Seconds to 90 % and 95 %, accuracy at the end, and paired differences to independence."""
    settings = by_setting(studies.get("labels", ()))
    return {
        "seconds_to_95": table(settings, ROWS, seconds_to(0.95)),
        "seconds_to_90": table(settings, ROWS, seconds_to(0.9)),
        "accuracy_at_end": table(settings, ROWS, accuracy_at_end),
        "difference_to_95": differences(settings, PAIRS, seconds_to(0.95)),
        "difference_to_90": differences(settings, PAIRS, seconds_to(0.9)),
    }


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure:
    """Times to 90 % and 95 % against the strength of the correlation."""
    settings = by_setting(studies.get("labels", ()))
    return draw_times(settings, KINDS, STRENGTHS, "strength of the correlation")
