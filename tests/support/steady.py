"""The steady state of events, and the warm-up of a series, that are there as a whole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from afl_sim.analysis.steady import steady_state_of
from afl_sim.analysis.warm_up import BatchMeans
from afl_sim.recording.columns import columns_of


def steady_state(events: pd.DataFrame) -> dict[str, float | None]:
    """The figures of `steady_state_of` for events as `Run.events` gives them."""
    return steady_state_of(lambda names: [columns_of(events, names)])


def warm_up(values: npt.NDArray[np.float64]) -> int:
    """The number of values at the beginning of a series that belong to its warm-up."""
    means = BatchMeans()
    means.add(values, values)
    return means.cut() * means.batch
