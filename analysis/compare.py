"""Runs side by side, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.recording.files import reason, write_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

# column: its heading, and how a value of it is written
_COLUMNS: Final = {
    "run": ("run", "{}"),
    "strategy": ("strategy", "{}"),
    "status": ("status", "{}"),
    "final_accuracy": ("final accuracy (%)", "{:.2%}"),
    "versions": ("versions", "{:,.0f}"),
    "updates": ("updates aggregated", "{:,.0f}"),
    "mean_staleness": ("mean staleness (versions)", "{:.2f}"),
    "max_staleness": ("max staleness (versions)", "{:,.0f}"),
    "idle_fraction": ("idle fraction (%)", "{:.1%}"),
    "virtual_seconds": ("virtual time (s)", "{:,.1f}"),
}
_TIME_TO: Final = "seconds_to_"
_FOLD: Final = 30  # longer names go on in the next line
_NEVER: Final = "not reached"


def comparison(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run, in the runs' order.

    Columns: ``run`` (label), ``strategy``, ``status``, ``seconds_to_<target>`` for every target of
    any run (virtual seconds; missing where it was not reached or not asked for),
    ``final_accuracy`` (0 to 1; missing without training), ``versions``, ``updates`` (aggregated),
    ``mean_staleness`` and ``max_staleness`` (versions), ``idle_fraction`` (0 to 1) and
    ``virtual_seconds``. A run that has not ended has its names only.
    """
    import pandas as pd

    targets = sorted({float(key) for run in runs for key in _times(run)})
    rows = []
    for run, label in zip(runs, _labels(runs), strict=True):
        summary = run.summary
        times = {float(key): value for key, value in _times(run).items()}
        staleness = summary.get("staleness") or {}
        rows.append(
            {
                "run": label,
                "strategy": run.strategy,
                "status": run.status,
                **{f"{_TIME_TO}{target:g}": times.get(target) for target in targets},
                "final_accuracy": (summary.get("final") or {}).get("accuracy"),
                "versions": summary.get("versions"),
                "updates": (summary.get("updates") or {}).get("aggregated"),
                "mean_staleness": staleness.get("mean"),
                "max_staleness": staleness.get("max"),
                "idle_fraction": summary.get("idle_fraction"),
                "virtual_seconds": summary.get("virtual_seconds"),
            }
        )
    frame = pd.DataFrame(rows)
    whole = {"versions", "updates", "max_staleness"}
    for name in frame.columns.difference(["run", "strategy", "status"]):
        frame[name] = frame[name].astype("Int64" if name in whole else "float64")
    return frame


def print_comparison(
    runs: Sequence[Run], folder: Path | None = None, console: Console | None = None
) -> pd.DataFrame:
    """Print a comparison: a row for each figure, a column for each run.

    Where the runs do not fit the console's width, further tables follow.

    Args:
        folder: also write ``comparison.csv`` and ``comparison.md`` there.
        console: where to print; default standard output.

    Returns:
        The table, as `comparison` gives it.
    """
    from rich.console import Console

    frame = comparison(runs)
    if folder is not None:
        write_comparison(frame, folder)
    console = console or Console()
    texts = _texts(frame)
    headings = [heading for heading, _ in texts[1:]]
    names, columns = texts[0][1], [values for _, values in texts[1:]]
    width = max(map(len, headings)) + 2
    first = 0
    while first < len(names):
        last, used = first, width
        while last < len(names):
            cells = [names[last][:_FOLD], *(values[last] for values in columns)]
            used += max(map(len, cells)) + 2
            if used > console.width and last > first:
                break
            last += 1
        _print_block(console, headings, names[first:last], [v[first:last] for v in columns])
        first = last
    return frame


def write_comparison(frame: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """Write ``comparison.csv`` (full precision) and ``comparison.md``; returns their paths.

    Raises:
        InputError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {reason(error)}") from error
    write_text(folder / "comparison.csv", frame.to_csv(index=False))
    write_text(folder / "comparison.md", to_markdown(frame))
    return folder / "comparison.csv", folder / "comparison.md"


def to_markdown(frame: pd.DataFrame) -> str:
    """A comparison as a Markdown table, a row for each run."""
    texts = _texts(frame)
    lines = [
        "| " + " | ".join(heading for heading, _ in texts) + " |",
        "|" + "|".join("---" if n == 0 else "---:" for n in range(len(texts))) + "|",
    ]
    for row in range(len(frame)):
        cells = (values[row].replace("|", "\\|") for _, values in texts)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _times(run: Run) -> dict[str, Any]:
    times = run.summary.get("time_to_accuracy") or {}
    # A run without training has targets, and no accuracy that could meet them.
    return times if (run.summary.get("final") or {}).get("accuracy") is not None else {}


def _labels(runs: Sequence[Run]) -> list[str]:
    """The runs' labels; where two are the same, their folders tell them apart."""
    labels = [run.label for run in runs]
    return [
        label if labels.count(label) == 1 else f"{label} ({run.path.name})"
        for run, label in zip(runs, labels, strict=True)
    ]


def _texts(frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Heading and written values of each column worth showing."""
    shown = []
    for name in frame.columns:
        values = frame[name]
        if name == "strategy" and all(values == frame["run"]):
            continue
        if name == "status" and all(values == "complete"):
            continue
        if name.startswith(_TIME_TO):
            heading = f"time to {100 * float(name.removeprefix(_TIME_TO)):g} % (s)"
            # Without training there is nothing to reach.
            trained = frame["final_accuracy"].notna()
            texts = [
                _write(value, "{:,.1f}", _NEVER if fair else "-")
                for value, fair in zip(values, trained, strict=True)
            ]
        else:
            heading, form = _COLUMNS[name]
            texts = [_write(value, form, "-") for value in values]
        shown.append((heading, texts))
    return shown


def _write(value: Any, form: str, absent: str) -> str:
    import pandas as pd

    if pd.isna(value):
        return absent
    return form.format(value).removesuffix("%")


def _print_block(
    console: Console, headings: Sequence[str], names: Sequence[str], columns: Sequence[list[str]]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(Text(name, overflow="fold"), justify="right", overflow="fold")
    for heading, values in zip(headings, columns, strict=True):
        table.add_row(heading, *(Text(value) for value in values))
    console.print(table)
    console.print()
