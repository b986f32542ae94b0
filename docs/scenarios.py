"""The themes: their measured answers in docs/scenarios.md, and the pictures there.

afl-sim run stragglers --out runs/stragglers          (each theme, with its options)
python docs/scenarios.py runs/stragglers ...          keep their figures in docs/scenarios.json
python docs/scenarios.py --draw runs/stragglers ...   draw their pictures, where there are any
python docs/generate.py                               write the page
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from themes import THEMES, Theme

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "scenarios.json"
IMAGES = ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "scenarios.md"

HEAD = """\
# Scenarios by theme

One short file for each way in which a fleet can be heterogeneous, the question that it asks, and
what came out. Run one with `afl-sim run NAME`, change it with `--set`, see where it lies with
`afl-sim list scenarios`.

Unless a section says otherwise the fleets have 100 clients with 100 samples of MNIST each (label
skew by Dirichlet 0.3) and train a perceptron of 50,890 parameters, so that a file takes a minute of
one core; `million-clients` is for `--timing-only`. Figures are means over
the replications in the file, which share nothing but the settings, with the lowest and the highest
of them; differences smaller than those ranges are not to be believed. *To 80 %* is virtual time to
an accuracy of 80 % on 2,000 test images; *worst class* is the accuracy at the end on the digit that
is recognised least.

This page is written by `python docs/generate.py` from `docs/scenarios.json`, in which
`docs/scenarios.py` keeps what it finds in run folders. Each file's timing is held to those figures
in the tests.
"""


@dataclass(frozen=True)
class Measure:
    """A column: its heading, how a mean is written, and what it is of a run.

    Attributes:
        schedule: whether it is known without training.
    """

    heading: str
    form: str
    of: Callable[[Any], float | None]
    schedule: bool = True


def _worst_class(run: Any) -> float | None:
    shown = run.evaluations["class_accuracy"].iloc[-1]
    return None if shown is None else float(np.min(shown))


def _final(run: Any) -> float | None:
    accuracy = run.summary["final"]["accuracy"]
    return None if accuracy is None else float(accuracy)


def _of_slow(run: Any) -> float:
    """The share of used updates whose computation took over four times the median one's."""
    events = run.events
    ends = events.pivot_table(index=["client", "task"], columns="kind", values="time_us")
    used = ends.dropna(subset=["aggregated"])
    seconds = used["computed"] - used["downloaded"]
    return float((seconds > 4 * seconds.median()).mean())


def _corrupted(run: Any) -> float:
    """Used updates that had wrong numbers."""
    kinds = run.events["kind"]
    rows = run.events.loc[kinds.isin(["corrupted", "aggregated"]), ["client", "task"]]
    return float(rows.duplicated().sum())


def _uploaded(run: Any) -> float:
    return float(run.events.loc[run.events["kind"] == "arrived", "bytes"].sum() / 1e6)


def _upload_link(key: str) -> Callable[[Any], float]:
    return lambda run: float(run.summary["links"]["upload"][key])


MEASURES = {
    "to_80": Measure(
        "to 80 % (s)", "{:,.0f}", lambda run: run.summary["time_to_accuracy"].get("0.8"), False
    ),
    "accuracy": Measure("final accuracy", "{:.1%}", _final, False),
    "worst": Measure("worst class", "{:.0%}", _worst_class, False),
    "rejected": Measure("updates refused", "{:.1f}", lambda run: run.summary["rejected"], False),
    "seconds": Measure("virtual time (s)", "{:,.0f}", lambda run: run.summary["virtual_seconds"]),
    "updates": Measure("updates used", "{:,.0f}", lambda run: run.summary["updates"]["aggregated"]),
    "failed": Measure("tasks failed", "{:,.0f}", lambda run: run.summary["updates"]["failed"]),
    "corrupted": Measure("updates corrupted", "{:.1f}", _corrupted),
    "idle": Measure("idle", "{:.0%}", lambda run: run.summary["idle_fraction"]),
    "staleness": Measure("mean staleness", "{:.1f}", lambda run: run.summary["staleness"]["mean"]),
    "stalest": Measure("largest", "{:,.0f}", lambda run: run.summary["staleness"]["max"]),
    "slow": Measure("of slow devices", "{:.0%}", _of_slow),
    "uploaded": Measure("uploaded (MB)", "{:.0f}", _uploaded),
    "per_second": Measure("uploads begun per second", "{:.2f}", _upload_link("per_second")),
    "upload": Measure("an upload takes (s)", "{:.1f}", _upload_link("mean_seconds")),
    "present": Measure("uploads at a time", "{:.1f}", _upload_link("mean_present")),
    "busy": Measure("link in use", "{:.0%}", _upload_link("utilisation")),
}


def measured(theme: Theme, runs: list[Any]) -> dict[str, dict[str, list[float | None]]]:
    """By case and measure, the figures of its replications."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for run in runs:
        row = found.setdefault(case_of(run.path.name), {})
        for name in theme.columns:
            row.setdefault(name, []).append(rounded(MEASURES[name].of(run)))
    return found


def case_of(label: str) -> str:
    """A run's label without its replication."""
    return re.sub(r"-r\d+$", "", label)


def rounded(value: float | None) -> float | None:
    """To six significant digits, which is what is kept."""
    return None if value is None else float(f"{float(value):.6g}")


def keep(folders: list[Path]) -> None:
    """Write the figures of these studies or runs down, beside what is there already."""
    from afl_sim.recording import load_runs

    kept = figures()
    for folder in folders:
        runs = load_runs([folder])
        theme = next(theme for theme in THEMES if theme.name == folder.name)
        samples = sum(run.summary["samples_trained"] for run in runs)
        cases = measured(theme, runs)
        kept[theme.name] = {"runs": len(runs), "samples": samples, "cases": cases}
    known = {theme.name: kept[theme.name] for theme in THEMES if theme.name in kept}
    FIGURES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def figures() -> dict[str, Any]:
    """What has been kept."""
    return json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}


def page() -> str:
    """The text of docs/scenarios.md."""
    kept = figures()
    return HEAD + "".join("\n" + "\n".join(_section(theme, kept[theme.name])) for theme in THEMES)


def question(theme: Theme) -> str:
    """What the file says that it asks."""
    file = ROOT / "scenarios" / f"{theme.name}.yaml"
    return " ".join(yaml.safe_load(file.read_text(encoding="utf-8"))["description"].split())


def _section(theme: Theme, kept: Mapping[str, Any]) -> Iterator[str]:
    cases = kept["cases"]
    means = {case: {name: _mean(row[name]) for name in row} for case, row in cases.items()}
    yield f"## {theme.title}\n"
    yield f"*{question(theme)}*\n"
    yield theme.answer.strip().format(**means) + "\n"
    chosen = [MEASURES[name] for name in theme.columns]
    yield "| | " + " | ".join(measure.heading for measure in chosen) + " |"
    yield "|---|" + "---:|" * len(chosen)
    for case, row in cases.items():
        cells = [_cell(MEASURES[name], row[name]) for name in theme.columns]
        yield f"| {case} | " + " | ".join(cells) + " |"
    yield ""
    if theme.picture is not None:
        yield f"![{theme.title}](images/{picture(theme).name})\n"
        yield f"`afl-sim plot runs/{theme.name} --figure {theme.picture}`\n"
    options = f" {theme.options}" if theme.options else ""
    cost = f"{kept['samples'] / 1e6:.2g} million samples trained"
    runs = "one run" if kept["runs"] == 1 else f"{kept['runs']} runs"
    done = "one run that trains nothing" if "--timing-only" in options else f"{runs}, {cost}"
    yield (
        f"[`scenarios/{theme.name}.yaml`](../scenarios/{theme.name}.yaml): `afl-sim run "
        f"{theme.name}{options} --out runs/{theme.name}`; {done}.\n"
    )


def _mean(values: list[float | None]) -> float:
    """The mean; NaN where some replication has no value, so that no answer can quote it."""
    return float(np.mean([np.nan if value is None else value for value in values]))


def _cell(measure: Measure, values: list[float | None]) -> str:
    """The mean and the range; of what not every replication reached, how many did."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return f"{len(there)} of {len(values)} reach it"
    mean = measure.form.format(float(np.mean(there)))
    low, high = measure.form.format(min(there)), measure.form.format(max(there))
    return mean if low == high else f"{mean} ({low}–{high})".replace("%–", "–")


def picture(theme: Theme) -> Path:
    """Where a theme's picture lies."""
    return IMAGES / f"scenario-{theme.name}.png"


def draw(folders: list[Path]) -> None:
    """Draw the pictures of these studies with ``afl-sim plot``."""
    for folder in folders:
        theme = next(theme for theme in THEMES if theme.name == folder.name)
        if theme.picture is None:
            continue
        plot = [sys.executable, "-m", "afl_sim", "plot"]
        subprocess.run([*plot, str(folder), "--figure", theme.picture], check=True)
        drawn = folder / "figures" / f"{theme.picture}.png"
        picture(theme).write_bytes(drawn.read_bytes())


def main(arguments: list[str]) -> int:
    """Keep the figures of the folders named, or draw their pictures."""
    folders = [Path(argument) for argument in arguments if not argument.startswith("-")]
    if not folders:
        print(__doc__)
        return 2
    (draw if "--draw" in arguments else keep)(folders)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
