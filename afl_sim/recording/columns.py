"""Events as NumPy columns, for code that reads all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from afl_sim.recording.event_table import COLUMNS
from afl_sim.recording.plain_arrays import integers_of, numbers
from afl_sim.world.event_kinds import KIND_NAMES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Column = npt.NDArray[np.int64]
Columns = Mapping[str, Column]


def columns_of(
    events: pd.DataFrame | pa.Table, names: Collection[str] = COLUMNS
) -> dict[str, Column]:
    """The integers of events by column, as `afl_sim.recording.EventLog.append` took them.

    A value that is absent is -1, and so is a kind that is unknown.

    Args:
        events: as `Run.events` gives them, or an event log's table.
        names: the columns that are wanted.
    """
    columns: dict[str, Column] = {}
    for name in names:
        if name == "kind":
            columns[name] = _kinds(events)
        elif hasattr(events, "schema"):
            columns[name] = integers_of(events.column(name), -1)
        else:
            columns[name] = events[name].to_numpy(dtype=np.int64, na_value=-1)
    return columns


def contexts_of(events: pd.DataFrame | pa.Table, rows: Column) -> Iterator[str | None]:
    """The contexts of some rows, in the order of ``rows``."""
    if hasattr(events, "schema"):
        yield from (text.as_py() for text in events.column("context").take(numbers(rows)))
    else:
        for text in events["context"].to_numpy()[rows]:
            yield text if isinstance(text, str) else None


def _kinds(events: pd.DataFrame | pa.Table) -> Column:
    if not hasattr(events, "schema"):
        import pandas as pd

        kind = pd.Categorical(events["kind"], categories=KIND_NAMES)
        coded: Column = kind.codes.astype(np.int64)
        return coded
    import pyarrow as pa

    kinds = events.column("kind")
    if not pa.types.is_dictionary(kinds.type):
        kinds = kinds.dictionary_encode()
    whole = kinds.combine_chunks()
    codes = {name: code for code, name in enumerate(KIND_NAMES)}
    names = [*whole.dictionary.to_pylist(), None]  # the last one stands for a null
    code_of = np.array([codes.get(name, -1) for name in names], np.int64)
    found: Column = code_of[integers_of(whole.indices, -1)]
    return found
