"""The events of a run folder: whole as pandas, or part by part in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.errors import RunFolderError
from afl_sim.recording.folder import EVENTS
from afl_sim.recording.parquet import batches_of, count_rows, last_value, read_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from afl_sim.recording.columns import Column

BATCH: Final = 1 << 18
"""Events that are read at once where not all of them are needed: about 30 MB."""


class RunEvents:
    """The events of a run folder.

    Attributes:
        path: the run folder.
        scenario: the resolved scenario, as plain dicts and lists.
    """

    path: Path
    scenario: dict[str, Any]

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row per event, in order.

        Columns: ``seq``, ``time_us`` (microseconds), ``kind`` (category), ``client``, ``task``,
        ``version``, ``base_version``, ``staleness`` (versions), ``bytes``, ``steps``, ``samples``,
        ``context`` (JSON). Values that an event does not have are missing (``<NA>``).
        """
        from afl_sim.recording.event_table import OPTIONAL, schema, to_frame

        path = self.path / EVENTS
        table = read_table(path, schema(), OPTIONAL)
        count = (self.scenario.get("clients") or {}).get("count")
        _check_clients(table.column("client"), count, path)
        return to_frame(table)

    def event_columns(self, *names: str) -> pd.DataFrame:
        """Some columns of `events`; the run does not keep them in memory.

        All columns of a million events take about 100 MB.
        """
        import pyarrow as pa

        from afl_sim.recording.event_table import OPTIONAL, schema, to_frame

        if "events" in self.__dict__:
            return self.events[list(names)]
        wanted = pa.schema([schema().field(name) for name in names])
        return to_frame(read_table(self.path / EVENTS, wanted, OPTIONAL))

    @property
    def event_count(self) -> int:
        """How many events there are; only the end of their file is read."""
        return count_rows(self.path / EVENTS)

    @property
    def end_us(self) -> int:
        """When the last event was (microseconds of virtual time); 0 without events."""
        return last_value(self.path / EVENTS, "time_us") or 0

    def event_tables(self, *names: str, rows: int | None = None) -> Iterator[pa.Table]:
        """Some columns of the events in their order, a table for every few rows.

        The memory that this takes does not depend on the number of events.

        Args:
            names: the columns, as in `events`.
            rows: the largest number of rows of a table; default `BATCH`.

        Raises:
            RunFolderError: the events are missing or damaged; also while they are read.
        """
        import pyarrow as pa

        from afl_sim.recording.event_table import OPTIONAL, schema

        path = self.path / EVENTS
        count = (self.scenario.get("clients") or {}).get("count")
        wanted = pa.schema([schema().field(name) for name in names])
        for table in batches_of(path, wanted, OPTIONAL, rows or BATCH):
            if "client" in names:
                _check_clients(table.column("client"), count, path)
            yield table

    def event_batches(self, *names: str, rows: int | None = None) -> Iterator[dict[str, Column]]:
        """Columns of whole numbers of the events in their order, as NumPy arrays.

        A value that is absent is -1. Kinds are codes of `afl_sim.world.event_kinds`.

        Args:
            names: the columns, as in `events`; without any, all that are whole numbers.
            rows: the largest number of rows of a batch; default `BATCH`.

        Raises:
            RunFolderError: as for `event_tables`.
        """
        from afl_sim.recording.columns import columns_of
        from afl_sim.recording.event_table import COLUMNS

        chosen = names or COLUMNS
        if "events" in self.__dict__:  # they are in memory already
            step = rows or BATCH
            for first in range(0, len(self.events), step):
                yield columns_of(self.events.iloc[first : first + step], chosen)
            return
        for table in self.event_tables(*chosen, rows=rows):
            yield columns_of(table, chosen)

    def rows_within(self, begin_us: int, end_us: int | None, most: int) -> tuple[int, int]:
        """Which events lie in a window of virtual time (microseconds), both ends included.

        Args:
            begin_us: where the window begins.
            end_us: where it ends; None: with the last event.
            most: the largest number of events; the first ones.

        Returns:
            How many events come before them, and how many there are up to the last of them.
        """
        before = inside = 0
        for batch in self.event_batches("time_us"):
            times = batch["time_us"]
            before += int(np.searchsorted(times, begin_us, side="left"))
            last = len(times) if end_us is None else np.searchsorted(times, end_us, side="right")
            inside += max(0, int(last) - int(np.searchsorted(times, begin_us, side="left")))
            if inside >= most or last < len(times):
                break
        return before, before + min(inside, most)


def _check_clients(clients: pa.ChunkedArray, count: int | None, path: Path) -> None:
    """Refuse events of clients that the scenario does not have."""
    import pyarrow.compute as pc

    ends = pc.min_max(clients).as_py()
    wrong = [
        client
        for client in (ends["min"], ends["max"])
        if client is not None and not 0 <= client < (inf if count is None else count)
    ]
    if wrong:
        raise RunFolderError(
            f"{path} is damaged: it has a client {wrong[0]}, but there are {count} clients"
        )
