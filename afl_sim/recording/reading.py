"""Reading run folders into pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from afl_sim.errors import RunFolderError
from afl_sim.recording.files import reason, temporary_path
from afl_sim.recording.folder import (
    EVENTS,
    MANIFEST,
    METRICS,
    MODEL,
    MODEL_ORDER,
    PARTITION,
    SCENARIO,
    STUDY,
    SUMMARY,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

SUMMARY_KEYS: Final = ("name", "status", "virtual_seconds", "versions", "updates", "final")
"""Keys without which ``summary.json`` is damaged."""


@dataclass(frozen=True)
class Run:
    """A run folder, read only.

    Events, metrics and the model are read when they are first asked for.

    Attributes:
        path: the run folder.
        name: the scenario's name.
        label: a short name to tell it from its neighbours: its label in a study, else its name.
        scenario: the resolved scenario, as plain dicts and lists.
        summary: ``summary.json``; empty while the run has not ended.
        manifest: ``manifest.json``.
    """

    path: Path
    name: str
    label: str
    scenario: dict[str, Any] = field(repr=False)
    summary: dict[str, Any] = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)

    @property
    def status(self) -> str:
        """``complete``, ``interrupted``, ``diverged`` or ``failed``; ``unfinished`` so far."""
        return str(self.summary.get("status", "unfinished"))

    @property
    def strategy(self) -> str:
        """The kind of the strategy, such as ``fedbuff``."""
        block = self.scenario.get("strategy")
        return str(block.get("kind", "?") if isinstance(block, dict) else block)

    @property
    def targets(self) -> tuple[float, ...]:
        """The accuracies whose time the scenario asks for, ascending."""
        evaluation = self.scenario.get("evaluation") or {}
        return tuple(sorted(float(target) for target in evaluation.get("targets") or ()))

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row per event, in order.

        Columns: ``seq``, ``time_us`` (microseconds), ``kind`` (category), ``client``, ``task``,
        ``version``, ``base_version``, ``staleness`` (versions), ``bytes``, ``steps``, ``samples``,
        ``context`` (JSON). Values that an event does not have are missing (``<NA>``).
        """
        from afl_sim.recording.events import schema, to_frame

        return to_frame(self._read(EVENTS, schema()))

    def first_events(self, count: int) -> tuple[pd.DataFrame, int]:
        """The first ``count`` rows of `events`, the others not being read, and how many there are.

        Of a log of very many events that is all that fits in memory.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from afl_sim.recording.events import schema, to_frame

        path = self._checked(EVENTS, schema())
        batches: list[pa.RecordBatch] = []
        missing = count
        try:
            with pq.ParquetFile(path) as file:
                rows = file.iter_batches(batch_size=1 << 16, columns=schema().names)
                while missing > 0 and (batch := next(rows, None)) is not None:
                    batches.append(batch.slice(0, missing))
                    missing -= len(batch)
                return to_frame(pa.Table.from_batches(batches, schema())), file.metadata.num_rows
        except (OSError, pa.ArrowException) as error:
            raise RunFolderError(f"{path} is damaged: {_line(error)}") from error

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per evaluation; no rows in a run without training.

        Columns: ``time_us`` (microseconds), ``version``, ``updates``, ``samples``, ``accuracy``
        and ``class_accuracy`` (0 to 1), ``loss`` (mean per sample), ``squared_gradient_norm`` (of
        the training objective; missing where the scenario does not ask for it).
        """
        from afl_sim.recording.metrics import schema

        return self._read(METRICS, schema()).to_pandas()

    @cached_property
    def label_counts(self) -> pd.DataFrame:
        """Samples by client (rows, from 0) and label (columns); the first 2,000 clients at most.

        Empty where the run did not record it.
        """
        import numpy as np
        import pandas as pd

        from afl_sim.recording.shares import schema

        if not (self.path / PARTITION).exists():
            return pd.DataFrame()
        table = self._read(PARTITION, schema())
        counts = np.array(table.column("labels").to_pylist(), dtype=np.int64)
        index = pd.Index(table.column("client").to_numpy(), name="client")
        return pd.DataFrame(counts, index=index)

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """One row per task; see `afl_sim.recording.tasks.task_table`."""
        from afl_sim.recording.tasks import task_table

        return task_table(self.events)

    def model(self) -> dict[str, npt.NDArray[np.generic]]:
        """The final model's arrays by name, in the model's own order.

        Raises:
            RunFolderError: the run has no model (it was timing only, or has not ended), or the
                file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self.path / MODEL
        if not path.exists():
            raise RunFolderError(
                f"{path} is missing: a run has a model once it has ended, and if it trained"
            )
        try:
            content = path.read_bytes()
            arrays = load(content)
            return {name: arrays[name] for name in _model_order(content)}
        except OSError as error:
            raise RunFolderError(f"cannot read {path}: {reason(error)}") from error
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path} is damaged: {_line(error)}") from error

    def _checked(self, name: str, schema: pa.Schema) -> Path:
        path = self.path / name
        if not path.exists():
            raise RunFolderError(_missing(path))
        _check_columns(path, schema)
        return path

    def _read(self, name: str, schema: pa.Schema) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._checked(name, schema)
        try:
            return pq.read_table(path, columns=schema.names, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise RunFolderError(f"{path} is damaged: {_line(error)}") from error


def load_run(path: Path | str) -> Run:
    """Read a run folder.

    A run that was interrupted, or is still going on, loads with what is there: `Run.summary` is
    empty until it has ended.

    Example:
        >>> from afl_sim import load_run, simulate
        >>> run = simulate("scenarios/smallest.yaml", timing_only=True)
        >>> again = load_run(run.path)
        >>> again.status, int((again.events.kind == "aggregated").sum())
        ('complete', 60)

    Raises:
        RunFolderError: there is no run folder, or a file in it is damaged or should be there and
            is not; the message names the file.
    """
    folder = Path(path)
    _require_folder(folder)
    if not (folder / SCENARIO).exists():
        if is_study(folder):
            raise RunFolderError(
                f"{folder} is a study: name one of its runs ({', '.join(_run_names(folder))})"
            )
        raise RunFolderError(f"{folder} is not a run folder: it has no {SCENARIO}")
    scenario = _read_yaml(folder / SCENARIO)
    manifest = _read_json(folder / MANIFEST)
    ended = (folder / SUMMARY).exists()
    summary = _read_json(folder / SUMMARY) if ended else {}
    if ended:
        _check_summary(folder, summary)
    # A run fails, too, where the disk is too full for its tables.
    _check_tables(folder, ended and summary["status"] != "failed")
    name = str(scenario.get("name") or folder.resolve().name)
    in_study = (folder.resolve().parent / STUDY).exists()
    label = folder.resolve().name if in_study else name
    return Run(folder, name, str(manifest.get("label") or label), scenario, summary, manifest)


def load_study(path: Path | str) -> list[Run]:
    """Read all runs of a study folder, in the study's order; runs not yet begun are left out.

    Raises:
        RunFolderError: it is not a study folder, no run of it has begun, or one is damaged.
    """
    folder = Path(path)
    _require_folder(folder)
    if not is_study(folder):
        raise RunFolderError(f"{folder} is not a study folder: it has no runs in it")
    names = _run_names(folder)
    if not names:
        raise RunFolderError(f"{folder} is a study of which no run has begun")
    return [load_run(folder / name) for name in names]


def load_runs(paths: Iterable[Path | str]) -> list[Run]:
    """Read run folders and study folders, mixed, in order; a folder named twice counts once.

    Raises:
        RunFolderError: one of them is neither, or is damaged.
    """
    runs: dict[Path, Run] = {}
    for path in map(Path, paths):
        for run in [load_run(path)] if is_single_run(path) else load_study(path):
            runs.setdefault(run.path.resolve(), run)
    return list(runs.values())


def is_single_run(path: Path) -> bool:
    """Whether a path is to be read as one run: it is a run folder, or neither that nor a study."""
    return not path.is_dir() or (path / SCENARIO).exists() or not is_study(path)


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study: it says so itself, or has run folders right inside."""
    return (folder / STUDY).is_file() or any(folder.glob(f"*/{SCENARIO}"))


def _run_names(folder: Path) -> list[str]:
    listed: Sequence[str] = ()
    if (folder / STUDY).is_file():
        study = _read_json(folder / STUDY)
        listed = study.get("runs") or ()
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise RunFolderError(f"{folder / STUDY} is damaged: `runs` is not a list of names")
    found = sorted(entry.parent.name for entry in folder.glob(f"*/{SCENARIO}"))
    found = [name for name in found if not name.startswith(".")]
    return [*(name for name in listed if name in found), *(n for n in found if n not in listed)]


def _require_folder(folder: Path) -> None:
    if not folder.exists():
        raise RunFolderError(f"there is no run folder {folder}")
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not a run folder: it is a file")


def _model_order(content: bytes) -> list[str]:
    """The names of a model file's arrays, in the order in which they were given."""
    size = int.from_bytes(content[:8], "little")  # of the header, as the format has it
    header = json.loads(content[8 : 8 + size])
    names = json.loads(header.pop("__metadata__", {}).get(MODEL_ORDER, "null"))
    return sorted(header) if names is None else [str(name) for name in names]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(_missing(path)) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise RunFolderError(f"{path} is damaged: it is not UTF-8 text") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: not JSON ({_line(error)})") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: expected an object, found {_kind(content)}")
    return content


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(_read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: not YAML ({_line(error)})") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: expected a mapping, found {_kind(content)}")
    return content


def _check_summary(folder: Path, summary: dict[str, Any]) -> None:
    absent = [key for key in SUMMARY_KEYS if key not in summary]
    if absent:
        raise RunFolderError(f"{folder / SUMMARY} is damaged: it lacks {', '.join(absent)}")


def _check_tables(folder: Path, must: bool) -> None:
    """Look at the Parquet files' footers, which hold columns and counts; the rows come later.

    Args:
        folder: the run folder.
        must: whether they have to be there.
    """
    from afl_sim.recording import events, metrics

    for name, schema in ((EVENTS, events.schema()), (METRICS, metrics.schema())):
        if (folder / name).exists():
            _check_columns(folder / name, schema)
        elif must:
            raise RunFolderError(f"{folder / name} is missing: the run folder is incomplete")


def _check_columns(path: Path, schema: pa.Schema) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise RunFolderError(f"{path} is damaged: {_line(error)}") from error
    absent = [name for name in schema.names if name not in names]
    if absent:
        raise RunFolderError(f"{path} is damaged: it lacks the columns {', '.join(absent)}")


def _missing(path: Path) -> str:
    if temporary_path(path).exists():
        return f"{path} is not there yet: the run is going on, or was killed; resume it"
    return f"{path} is missing: the run has not ended, or the folder is incomplete"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _kind(content: Any) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"
