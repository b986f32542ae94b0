"""The first event, evaluation or weight in which two runs differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.recording.columns import Column, Columns, columns_of
from afl_sim.recording.event_table import DIGEST_COLUMNS, NULLABLE
from afl_sim.recording.fingerprints import numerics_differences
from afl_sim.recording.folder import MODEL
from afl_sim.recording.metrics import BY_CLIENT
from afl_sim.recording.plain_arrays import integers_of
from afl_sim.recording.reading import load_run
from afl_sim.recording.recorded_run import Run
from afl_sim.world.event_kinds import EVALUATED, KIND_NAMES

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

_CONTEXT_ROWS: Final = 3  # shown before and after
SHOWN: Final = ("seq", *DIGEST_COLUMNS, "bytes", "steps", "samples")

Row = dict[str, Any]


@dataclass(frozen=True)
class Divergence:
    """The first difference between two runs.

    Attributes:
        index: the position of the first differing event among those that the schedule digest
            covers; None when the schedules are the same and only the numbers differ.
        row_a, row_b: the event on either side; None where that run's events have ended.
        columns: the names of the columns in which the two rows differ.
        before: the last events that both have in common, the latest last.
        after_a, after_b: what either side does next.
        events_a, events_b: how many events each run has that the digest covers.
        evaluation: the first evaluations that differ, of runs with the same schedule.
        model_digest_a, model_digest_b: digests of the final weights, and of what clients keep for
            themselves, if they do; None where there are none.
        numerics: in what the arithmetic of two runs that trained differs, in words; or empty.
    """

    index: int | None
    row_a: Row | None
    row_b: Row | None
    columns: tuple[str, ...]
    before: tuple[Row, ...]
    after_a: tuple[Row, ...]
    after_b: tuple[Row, ...]
    events_a: int
    events_b: int
    evaluation: tuple[Row | None, Row | None] | None
    model_digest_a: str | None
    model_digest_b: str | None
    numerics: str = ""


def first_divergence(run_a: Run | Path | str, run_b: Run | Path | str) -> Divergence | None:
    """Find the first event in which two runs differ, then the first number.

    Events are compared in the columns of the schedule digest, without ``evaluated`` rows. When all
    are the same, the models and evaluations are compared.

    Returns:
        None when schedule and model are the same.

    Raises:
        RunFolderError: one of the runs cannot be read.
    """
    a = run_a if isinstance(run_a, Run) else load_run(run_a)
    b = run_b if isinstance(run_b, Run) else load_run(run_b)
    kinds = {name: code for code, name in enumerate(KIND_NAMES)}
    parted = _parting(_scheduled(a, kinds), _scheduled(b, kinds), kinds)
    numerics = ""
    if not (a.timing_only or b.timing_only):
        known = (run.summary.get("numerics") for run in (a, b))
        numerics = numerics_differences(*known, whose="in B")
    models = _model_digest(a), _model_digest(b)
    evaluation = None
    if not parted.differ:
        # A timing-only run has no model to differ in.
        if models[0] == models[1] or None in models:
            return None
        evaluation = _first_evaluation(a, b)
    row_a, row_b = (rows[0] if rows else None for rows in (parted.rows_a, parted.rows_b))
    return Divergence(
        index=parted.index if parted.differ else None,
        row_a=row_a,
        row_b=row_b,
        columns=_differing(row_a, row_b),
        before=parted.before if parted.differ else (),
        after_a=parted.rows_a[1:],
        after_b=parted.rows_b[1:],
        events_a=parted.events_a,
        events_b=parted.events_b,
        evaluation=evaluation,
        model_digest_a=models[0],
        model_digest_b=models[1],
        numerics=numerics,
    )


@dataclass(frozen=True)
class _Parting:
    """Where the events of two runs part.

    Attributes:
        index: how many events they have in common at the beginning.
        before: the last of these.
        rows_a, rows_b: the next events of either run; none if they are the same to the end.
        events_a, events_b: how many events each run has.
    """

    index: int
    before: tuple[Row, ...]
    rows_a: tuple[Row, ...]
    rows_b: tuple[Row, ...]
    events_a: int
    events_b: int

    @property
    def differ(self) -> bool:
        return bool(self.rows_a or self.rows_b)


def _scheduled(run: Run, kinds: dict[str, int]) -> Iterator[Columns]:
    """The events that the schedule digest covers, part by part; no part is empty.

    Args:
        run: whose.
        kinds: the codes of the kinds of events; those of later versions get one.
    """
    for table in run.event_tables(*SHOWN):
        columns = columns_of(table, [name for name in SHOWN if name != "kind"])
        columns["kind"] = _codes(table.column("kind"), kinds)
        kept = columns["kind"] != EVALUATED
        if kept.any():
            yield {name: column[kept] for name, column in columns.items()}


def _codes(names: pa.ChunkedArray, kinds: dict[str, int]) -> Column:
    import pyarrow as pa

    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    whole = names.combine_chunks()
    code_of = [kinds.setdefault(name, len(kinds)) for name in whole.dictionary.to_pylist()]
    found: Column = np.array(code_of, np.int64)[integers_of(whole.indices, 0)]
    return found


def _parting(
    parts_a: Iterator[Columns], parts_b: Iterator[Columns], kinds: dict[str, int]
) -> _Parting:
    """Read two runs side by side to where they part, and count what is left."""
    before: list[Columns] = []
    a, b = next(parts_a, None), next(parts_b, None)
    index = 0
    while a is not None and b is not None:
        common = min(_length(a), _length(b))
        differs = _differs(_part(a, 0, common), _part(b, 0, common))
        same = int(differs.argmax()) if differs.any() else common
        if same:
            shown = _part(a, max(0, same - _CONTEXT_ROWS), same)
            before = [*before, shown][-_CONTEXT_ROWS:]
        index += same
        a, b = _part(a, same), _part(b, same)
        if same < common:
            break
        a = a if _length(a) else next(parts_a, None)
        b = b if _length(b) else next(parts_b, None)
    rows_a, left_a = _next_rows(a, parts_a, kinds)
    rows_b, left_b = _next_rows(b, parts_b, kinds)
    shared = tuple(row for part in before for row in _rows(part, kinds))[-_CONTEXT_ROWS:]
    return _Parting(index, shared, rows_a, rows_b, index + left_a, index + left_b)


def _next_rows(
    part: Columns | None, parts: Iterator[Columns], kinds: dict[str, int]
) -> tuple[tuple[Row, ...], int]:
    """The event that comes next with those after it, and how many there are to the end."""
    shown: list[Row] = []
    count = 0
    while part is not None:
        shown += _rows(_part(part, 0, 1 + _CONTEXT_ROWS - len(shown)), kinds)
        count += _length(part)
        part = next(parts, None)
    return tuple(shown), count


def _length(part: Columns) -> int:
    return len(part["seq"])


def _part(part: Columns, first: int, end: int | None = None) -> dict[str, Column]:
    return {name: column[first:end] for name, column in part.items()}


def _differs(a: Columns, b: Columns) -> npt.NDArray[np.bool_]:
    """Which rows differ in a column of the schedule digest."""
    found = np.zeros(_length(a), dtype=bool)
    for name in DIGEST_COLUMNS:
        found |= a[name] != b[name]
    return found


def _rows(part: Columns, kinds: dict[str, int]) -> list[Row]:
    names = list(kinds)
    values = {name: part[name].tolist() for name in SHOWN}
    values["kind"] = [names[code] for code in values["kind"]]
    for name in NULLABLE:
        values[name] = [None if value == -1 else value for value in values[name]]
    return [dict(zip(SHOWN, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _differing(a: Row | None, b: Row | None) -> tuple[str, ...]:
    if a is None or b is None:
        return ()
    return tuple(name for name in DIGEST_COLUMNS if a[name] != b[name])


def _model_digest(run: Run) -> str | None:
    """The digest in the summary; without one, the digest of the model file."""
    digest, personal = (run.summary.get(f"{of}_digest") for of in ("model", "personal"))
    if digest is not None and personal is not None:
        return f"{digest}, personal parts {personal}"
    if digest is None and (run.path / MODEL).exists():
        import hashlib

        hasher = hashlib.sha256()
        for name, tensor in sorted(run.model().items()):
            hasher.update(name.encode() + tensor.tobytes())
        return hasher.hexdigest()
    return digest


def _first_evaluation(a: Run, b: Run) -> tuple[Row | None, Row | None] | None:
    rows_a, rows_b = (_without_lists(run.metrics).to_dict("records") for run in (a, b))
    for index in range(max(len(rows_a), len(rows_b))):
        row_a = rows_a[index] if index < len(rows_a) else None
        row_b = rows_b[index] if index < len(rows_b) else None
        if repr(row_a) != repr(row_b):  # as text, NaN equals NaN
            return row_a, row_b
    return None


def _without_lists(metrics: pd.DataFrame) -> pd.DataFrame:
    lists = [name for name in metrics if str(name).startswith(BY_CLIENT)]
    return metrics.drop(columns=["class_accuracy", *lists])
