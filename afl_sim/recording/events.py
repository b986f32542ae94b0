"""The event log: what happened when, in order, with a digest over it.

Appending is on the path of every event of a run, so it does one thing: pack ten integers into a
buffer. Parquet sees the rows in groups of a fixed size, so the file's bytes depend on the events
alone.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from afl_sim.errors import AflSimError
from afl_sim.recording.drafts import Draft
from afl_sim.recording.event_table import (
    COLUMNS,
    DIGEST_COLUMNS,
    parquet_writer,
    record_batch,
    schema,
    to_frame,
)
from afl_sim.recording.files import writing
from afl_sim.recording.rows_ahead import BLOCK, Rows, RowsAhead
from afl_sim.world.event_kinds import EVALUATED, ROW

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BLOCKS_PER_ROW_GROUP: Final = 16


class EventLog:
    """A run's events, appended in the order of virtual time.

    Args:
        path: the Parquet file to stream to; it appears under this name on `close`, whole. None
            keeps the events in memory, as `table`.

    Attributes:
        ahead: takes rows whose time has not come.

    Raises:
        AflSimError: the file cannot be written, or the events are not in order of time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.ahead = RowsAhead(self._flush)
        self._buffer = self.ahead.buffer  # whoever gives rows ahead packs others into it, too
        self._contexts: dict[int, str] = {}  # by the index of the row in the buffer
        self._last_us = 0
        self._hash = hashlib.sha256()
        self._rows: list[Rows] = []  # hashed, and not yet in a batch
        self._texts: dict[int, str] = {}  # their contexts, by the index of the row among them
        self._waiting = 0  # how many they are
        self._batched = 0  # rows that are in a batch, or written
        self._batches: list[pa.RecordBatch] = []  # of a log in memory
        self._draft: Draft | None = None
        self._writer: Any = None
        if path is not None:
            with writing(path):
                self._draft = Draft(path)
                try:
                    self._writer = parquet_writer(self._draft.handle)
                except BaseException:
                    self.abort()
                    raise

    def append(
        self,
        time_us: int,
        kind: int,
        client: int,
        task: int,
        version: int,
        base_version: int = -1,
        staleness: int = -1,
        bytes: int = 0,
        steps: int = -1,
        samples: int = -1,
        context: str | None = None,
        *,
        _pack: Any = ROW.pack,
    ) -> None:
        """Log one event; -1 stands for a value that the event does not have.

        Args:
            time_us: virtual time in microseconds, never smaller than the event before it.
            kind: a code of `afl_sim.world.event_kinds`.
            client: the client's index.
            task: the client's task number, from 0.
            version: the server's version when the row is logged.
            base_version: the version that the client trains from.
            staleness: in versions.
            bytes: bytes transferred.
            steps: local optimizer steps.
            samples: samples trained on.
            context: plain values of the strategy, as JSON; of an aggregation that has taken time
                also ``began_us``; of a transfer over a contended link of the server and the
                client's own path ``link_us``: when it left that link (download) or came to it.
        """
        buffer = self._buffer
        buffer += _pack(
            time_us, kind, client, task, version, base_version, staleness, bytes, steps, samples
        )
        if context is not None:
            self._contexts[len(buffer) // ROW.size - 1] = context
        if len(buffer) >= self.ahead.most:
            self._flush()

    def __len__(self) -> int:
        self._take_in()
        return self._batched + self._waiting

    @property
    def schedule_digest(self) -> str:
        """SHA-256 in hex over the `DIGEST_COLUMNS` of all rows so far but ``evaluated`` ones.

        Rows count in order, as little-endian 64-bit integers, -1 where a value is absent.
        """
        self._take_in()
        return self._hash.hexdigest()

    def table(self) -> pa.Table:
        """The events of a log kept in memory, in the columns of ``events.parquet``."""
        import pyarrow as pa

        if self.path is not None:
            raise AflSimError(f"the events stream to {self.path}: read that file after close()")
        self._take_in()
        self._batch(self._waiting)
        return pa.Table.from_batches(self._batches, schema=schema())

    def frame(self) -> pd.DataFrame:
        """The events of a log kept in memory, as `Run.events` gives them."""
        return to_frame(self.table())

    def close(self) -> None:
        """Write the remaining events and rename the file; a second call does nothing."""
        self._flush()
        if self.path is None or self._draft is None:
            return
        try:
            with writing(self.path):
                self._write(self._waiting)
                self._writer.close()
                self._draft.publish()
        except BaseException:
            self.abort()
            raise
        self._draft = self._writer = None
        self.ahead.full = _nothing

    def abort(self) -> None:
        """Drop the file that was being written; the log takes no more events."""
        if self._draft is not None:
            if self._writer is not None:
                with suppress(Exception):  # it writes its last part, to a disk that may be full
                    self._writer.close()
            self._draft.withdraw()
        self._draft = self._writer = None
        self._batches, self._rows, self._texts, self._waiting = [], [], {}, 0
        self.ahead.full = _nothing  # which refers to this object no more
        self._buffer.clear()
        self.ahead.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _flush(self) -> None:
        """Take in what was appended, and write the row groups that are full."""
        self._take_in()
        size = BLOCK * _BLOCKS_PER_ROW_GROUP
        while self._waiting >= size:
            if self.path is None:
                self._batch(size)
                continue
            try:
                with writing(self.path):
                    self._write(size)
            except BaseException:
                self.abort()
                raise

    def _take_in(self) -> None:
        """Put what was appended, and what has come due, in its order, and hash it.

        This may happen at any time: it has no influence on where row groups end.
        """
        appended, contexts = _rows(self._buffer.copy()), self._contexts
        if len(appended) and self.path is not None and self._writer is None:
            raise AflSimError(f"the event log {self.path} is closed")
        self._buffer.clear()
        self._contexts = {}
        rows, contexts = self.ahead.merge(appended, contexts)
        self.ahead.most = max(BLOCK, len(self.ahead)) * ROW.size  # so that rows are moved seldom
        if not len(rows):
            return
        times = rows[:, 0]
        if times[0] < self._last_us or np.any(times[1:] < times[:-1]):
            self.abort()
            raise AflSimError("events were logged out of the order of time")
        self._last_us = int(times[-1])
        scheduled, counts = rows[:, : len(DIGEST_COLUMNS)], rows[:, 1] != EVALUATED
        if not np.all(counts):
            scheduled = scheduled[counts]
        self._hash.update(np.ascontiguousarray(scheduled).data)
        for index, text in contexts.items():
            self._texts[self._waiting + index] = text
        self._rows.append(rows)
        self._waiting += len(rows)

    def _next_batch(self, count: int) -> pa.RecordBatch:
        """The next rows."""
        rows = self._rows[0] if len(self._rows) == 1 else np.concatenate(self._rows)
        mine = {index: text for index, text in self._texts.items() if index < count}
        batch = record_batch(rows[:count], self._batched, mine)
        self._texts = {i - count: text for i, text in self._texts.items() if i >= count}
        self._rows = [rows[count:]] if count < len(rows) else []
        self._waiting -= count
        self._batched += count
        return batch

    def _batch(self, count: int) -> None:
        if count:
            self._batches.append(self._next_batch(count))

    def _write(self, count: int) -> None:
        if count:
            self._writer.write_batch(self._next_batch(count), row_group_size=count)


def _nothing() -> None:
    """The log is closed: who packs rows into its buffer is not told."""


def _rows(packed: bytes | bytearray) -> Rows:
    """Packed events as an array of shape (events, columns)."""
    return np.frombuffer(packed, dtype="<i8").reshape(-1, len(COLUMNS))
