"""All runs of a study as one table: what varies, and what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from afl_sim.analysis.compared_runs import comparison
from afl_sim.analysis.measures import measure_of
from afl_sim.analysis.replications import groups, seed, settings
from afl_sim.analysis.settings import flattened
from afl_sim.recording import Run

if TYPE_CHECKING:
    import pandas as pd

HEADINGS: Final = "headings"
"""Where ``frame.attrs`` has the headings of measures."""

_PERCENT: Final = "_percent"
_NAMES: Final = ("run", "setting", "strategy", "seed", "status")
_ABSENT: Final = object()


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run, in the runs' order.

    Columns: ``run`` (its label), ``setting`` (what figures call it: equal for runs that differ in
    their seed only), ``strategy``, ``seed`` and ``status``; a column for each setting that varies,
    named by its key, such as ``strategy.buffer_size``; and the measures of
    `afl_sim.analysis.compared_runs.comparison`, in the units of the printed tables. The name of a
    share that is written in percent ends in ``_percent``. ``frame.attrs["headings"]`` has the
    heading of each measure, with its unit.
    """
    import pandas as pd

    compared = comparison(runs)
    named = {run.path: group.label for group in groups(runs) for run in group.runs}
    frame = pd.DataFrame(
        {
            "run": compared["run"],
            "setting": [named[run.path] for run in runs],
            "strategy": compared["strategy"],
            "seed": [seed(run) for run in runs],
            "status": compared["status"],
            **varying(runs),
        }
    )
    headings = {}
    for name in compared.columns.drop([name for name in _NAMES if name in compared]):
        measure = measure_of(name)
        column = f"{name.removesuffix('_fraction')}{_PERCENT}" if measure.is_share else name
        frame[column] = compared[name] * 100 if measure.is_share else compared[name]
        headings[column] = measure.heading
    frame.attrs[HEADINGS] = headings
    return frame


def varying(runs: Sequence[Run]) -> dict[str, Any]:
    """The settings that are not the same in all runs: by key, the value in each run.

    A setting that a run does not have is missing there. The strategy's kind, the seed and names are
    left out; and so is a setting that differs only because the kind of its block does. Lists are
    tuples.
    """
    leaves = [flattened(settings(run)) for run in runs]
    found = {}
    for key in dict.fromkeys(key for block in leaves for key in block):
        values = [block.get(key, _ABSENT) for block in leaves]
        if key == "strategy.kind" or not _varies(values) or _follows_a_kind(key, leaves):
            continue
        column = [None if value is _ABSENT else _plain(value) for value in values]
        if any(value is not None for value in column):  # a block that is null has no value itself
            found[key] = _typed(column)
    return found


def _varies(values: Iterable[Any]) -> bool:
    return len({repr(value) for value in values}) > 1


def _follows_a_kind(key: str, leaves: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting is the same wherever the block that it is in has the same kind."""
    block, _, name = key.rpartition(".")
    while block:
        kind = f"{block}.kind"
        kinds = {repr(leaf.get(kind)) for leaf in leaves}
        if name != "kind" and len(kinds) > 1:
            return not any(
                _varies(leaf.get(key, _ABSENT) for leaf in leaves if repr(leaf.get(kind)) == one)
                for one in kinds
            )
        block, _, name = block.rpartition(".")
    return False


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _typed(column: list[Any]) -> Any:
    """The values, as whole numbers that may be missing if they are such."""
    import pandas as pd

    present = [value for value in column if value is not None]
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in present)
    return pd.array(column, dtype="Int64") if whole and len(present) < len(column) else column


def stacked(runs: Sequence[Run], name: str, labels: pd.DataFrame) -> pd.DataFrame:
    """The frames of several runs, one below the other.

    Args:
        runs: at least one.
        name: ``events``, ``tasks``, ``metrics`` or ``client_metrics``.
        labels: what `runs_frame` gives; ``run``, ``setting``, ``strategy`` and ``seed`` of it come
            first in each row.
    """
    import pandas as pd

    names = ["run", "setting", "strategy", "seed"]
    parts = []
    for run, row in zip(runs, labels[names].to_dict("records"), strict=True):
        part = getattr(run, name)
        parts.append(pd.concat([pd.DataFrame(row, index=part.index, columns=names), part], axis=1))
    return pd.concat(parts, ignore_index=True)
