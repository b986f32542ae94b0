"""The themes: their measured answers and pictures in docs/scenarios.md.

afl-sim run stragglers --out runs/stragglers (each theme, with its options) python
docs/scenarios.py runs/stragglers ... keep their numbers in docs/scenarios.json python
docs/scenarios.py --draw runs/stragglers ... draw their pictures, if they have any python
docs/generate.py write the page
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

from afl_sim.analysis.by_group import group_table

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "scenarios.json"
IMAGES = ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "scenarios.md"

HEAD = """\
# Scenarios by theme

Each section takes one way in which a fleet can be heterogeneous. It has a short scenario file, a
question and the measured answer. Run a file with `afl-sim run NAME` and change it with `--set`.
`afl-sim list scenarios` shows where the files are.

Unless a section states otherwise, a fleet has 100 clients with 100 samples of MNIST each (label
skew by Dirichlet 0.3) and trains a perceptron with 50,890 parameters, so that a file takes about
a minute of one core. `million-clients` is meant for `--timing-only`. The numbers are means over
the replications in the file, with the smallest and the largest value in parentheses. Replications
share only the settings. Do not trust differences that are smaller than these ranges. *To 80 %* is
the virtual time until an accuracy of 80 % on 2,000 test images. *Worst class* is the final
accuracy on the digit with the lowest accuracy. The last six sections compare settings by the
differences between replications with the same number. There the parentheses hold Student's 95 %
interval of the mean difference.

The runs used [portable bits](numerics.md#portable-and-native-bits), so that every x86-64 machine
with AVX2 gives the same digits. `afl-sim run NAME` ends with a line that compares its digests with
those of these runs, in `scenarios/published.json`. `addresses` is the exception. It used native
bits, because portable ones take much longer for its LSTM. Other machines give slightly different
numbers, and the same schedule.

`python docs/generate.py` generates this page from `docs/scenarios.json`, in which
`docs/scenarios.py` stores the measurements of run folders. The tests compare the timing of each
file with these numbers.
"""


@dataclass(frozen=True)
class Measure:
    """A column: its heading, the format of a mean, and the value for a run.

    Attributes:
        schedule: whether it can be computed without training.
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
    """The share of used updates whose computation took more than four times the median."""
    events = run.events
    ends = events.pivot_table(index=["client", "task"], columns="kind", values="time_us")
    used = ends.dropna(subset=["aggregated"])
    seconds = used["computed"] - used["downloaded"]
    return float((seconds > 4 * seconds.median()).mean())


def _corrupted(run: Any) -> float:
    """The number of used updates that were corrupted."""
    kinds = run.events["kind"]
    rows = run.events.loc[kinds.isin(["corrupted", "aggregated"]), ["client", "task"]]
    return float(rows.duplicated().sum())


def _uploaded(run: Any) -> float:
    return float(run.events.loc[run.events["kind"] == "arrived", "bytes"].sum() / 1e6)


def _upload_link(key: str) -> Callable[[Any], float]:
    return lambda run: float(run.summary["links"]["upload"][key])


def _time_to(metric: str, target: str) -> Callable[[Any], float | None]:
    return lambda run: run.summary["time_to"][metric].get(target)


def _updates_to(metric: str, target: str) -> Callable[[Any], float | None]:
    """The number of updates used until the target of a metric was reached."""

    def count(run: Any) -> float | None:
        seconds = run.summary["time_to"][metric].get(target)
        if seconds is None:
            return None
        events = run.events
        used = events.loc[events["kind"] == "aggregated", "time_us"]
        return float((used <= round(seconds * 1e6)).sum())

    return count


def _final_of(metric: str) -> Callable[[Any], float | None]:
    return lambda run: run.summary["final"][metric]


def _of_clients(metric: str, clients: slice) -> Callable[[Any], float]:
    """The final mean of a metric over some clients, each on its own test samples."""
    return lambda run: float(np.mean(run.evaluations[f"client_{metric}"].iloc[-1][clients]))


def _heard(run: Any) -> float:
    """The number of clients of which an update was used."""
    events = run.events
    return float(events.loc[events["kind"] == "aggregated", "client"].nunique())


def _kilojoules_to_85(run: Any) -> float | None:
    joules = run.summary["energy_joules_to"]["accuracy"].get("0.85")
    return None if joules is None else float(joules) / 1000


def _wasted(run: Any) -> float:
    """The share of the energy that went into updates that were never used."""
    energy = run.summary["energy_joules"]
    return float(energy["wasted"] / energy["total"])


def _of_phones(run: Any) -> float:
    """The share of the aggregated updates that came from groups of phones."""
    table = group_table(run)
    return float(table.loc[["phones" in name for name in table.index], "updates"].sum()) / 100


def _own(run: Any) -> Any:
    """The final accuracy of each client's personalised model, on the client's own test samples."""
    last = run.evaluations.iloc[-1]
    name = "client_personal_accuracy" if "client_personal_accuracy" in last else "client_accuracy"
    return np.array(last[name])


def _half(fast: bool) -> Callable[[Any], float]:
    """The mean of that over the half of the clients from which most updates came, or fewest."""

    def mean(run: Any) -> float:
        own, events = _own(run), run.events
        arrived = events.loc[events["kind"] == "arrived", "client"].astype(int)
        order = np.argsort(np.bincount(arrived, minlength=len(own)), kind="stable")
        half = len(own) // 2
        return float(own[order[half:] if fast else order[:half]].mean())

    return mean


MEASURES = {
    "to_80": Measure(
        "to 80 % (s)", "{:,.0f}", lambda run: run.summary["time_to_accuracy"].get("0.8"), False
    ),
    "to_85": Measure("to 85 % (s)", "{:,.0f}", _time_to("accuracy", "0.85"), False),
    "kilojoules_to_85": Measure("energy to 85 % (kJ)", "{:.1f}", _kilojoules_to_85, False),
    "price_to_85": Measure(
        "price to 85 %",
        "{:.3f}",
        lambda run: run.summary["price_to"]["accuracy"].get("0.85"),
        False,
    ),
    "kilojoules": Measure(
        "energy in all (kJ)", "{:.1f}", lambda run: run.summary["energy_joules"]["total"] / 1000
    ),
    "wasted": Measure("energy wasted", "{:.0%}", _wasted),
    "to_90": Measure("to 90 % (s)", "{:,.0f}", _time_to("accuracy", "0.9"), False),
    "to_perplexity_9": Measure(
        "to perplexity 9 (s)", "{:,.0f}", _time_to("perplexity", "9"), False
    ),
    "perplexity": Measure("final perplexity", "{:.2f}", _final_of("perplexity"), False),
    "oldest": Measure(
        "of the ten oldest", "{:.2f}", _of_clients("perplexity", slice(0, 10)), False
    ),
    "latest": Measure(
        "of the ten latest", "{:.2f}", _of_clients("perplexity", slice(-10, None)), False
    ),
    "to_rmse_56": Measure("to RMSE 56 (s)", "{:,.0f}", _time_to("rmse", "56"), False),
    "updates_to_rmse_56": Measure("updates to it", "{:,.0f}", _updates_to("rmse", "56"), False),
    "rmse": Measure("final RMSE", "{:.1f}", _final_of("rmse"), False),
    "accuracy": Measure("final accuracy", "{:.1%}", _final, False),
    "own": Measure("own models", "{:.1%}", lambda run: float(_own(run).mean()), False),
    "fast_half": Measure("of the fast half", "{:.1%}", _half(True), False),
    "slow_half": Measure("of the slow half", "{:.1%}", _half(False), False),
    "worst": Measure("worst class", "{:.0%}", _worst_class, False),
    "rejected": Measure("updates rejected", "{:.1f}", lambda run: run.summary["rejected"], False),
    "seconds": Measure("virtual time (s)", "{:,.0f}", lambda run: run.summary["virtual_seconds"]),
    "updates": Measure("updates used", "{:,.0f}", lambda run: run.summary["updates"]["aggregated"]),
    "heard": Measure("clients heard", "{:.0f}", _heard),
    "failed": Measure("tasks failed", "{:,.0f}", lambda run: run.summary["updates"]["failed"]),
    "corrupted": Measure("updates corrupted", "{:.1f}", _corrupted),
    "idle": Measure("idle", "{:.0%}", lambda run: run.summary["idle_fraction"]),
    "staleness": Measure("mean staleness", "{:.1f}", lambda run: run.summary["staleness"]["mean"]),
    "stalest": Measure("largest staleness", "{:,.0f}", lambda run: run.summary["staleness"]["max"]),
    "slow": Measure("from slow devices", "{:.0%}", _of_slow),
    "phones": Measure("from phones", "{:.0%}", _of_phones),
    "uploaded": Measure("uploaded (MB)", "{:.0f}", _uploaded),
    "per_second": Measure("uploads started per second", "{:.2f}", _upload_link("per_second")),
    "upload": Measure("duration of an upload (s)", "{:.1f}", _upload_link("mean_seconds")),
    "present": Measure("uploads in progress", "{:.1f}", _upload_link("mean_present")),
    "busy": Measure("link utilisation", "{:.0%}", _upload_link("utilisation")),
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
    """Store the measurements of these studies or runs, beside those stored before."""
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
    """The stored measurements."""
    return json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}


def page() -> str:
    """The text of docs/scenarios.md."""
    kept = figures()
    return HEAD + "".join("\n" + "\n".join(_section(theme, kept[theme.name])) for theme in THEMES)


def question(theme: Theme) -> str:
    """The question in the file's description."""
    file = ROOT / "scenarios" / f"{theme.name}.yaml"
    return " ".join(yaml.safe_load(file.read_text(encoding="utf-8"))["description"].split())


@dataclass(frozen=True)
class _Difference:
    """A mean over paired replications and its 95 % interval, written with a number's format."""

    interval: Any

    def __format__(self, form: str) -> str:
        low, mean, high = (
            format(value, form).removesuffix("%")
            for value in (self.interval.low, self.interval.mean, self.interval.high)
        )
        percent = " percentage points" if form.endswith("%") else ""
        return f"{mean}{percent} ({low} to {high})"


@dataclass(frozen=True)
class _Differences:
    """Differences by ``one - other``, or by ``one - other beyond third - fourth``, and measure."""

    cases: Mapping[str, Mapping[str, list[float]]]

    def __getitem__(self, key: str) -> dict[str, _Difference]:
        from afl_sim.analysis.statistics import student_interval

        (one, other), *rest = (pair.split(" - ") for pair in key.split(" beyond "))
        found = {}
        for name in self.cases[one]:
            values = self._paired(one, other, name)
            for third, fourth in rest:
                values = values - self._paired(third, fourth, name)
            found[name] = _Difference(student_interval(values.tolist()))
        return found

    def _paired(self, one: str, other: str, name: str) -> Any:
        """Of each replication; NaN where one of the two has no value."""
        return np.subtract(*(np.array(self.cases[case][name], float) for case in (one, other)))


def _section(theme: Theme, kept: Mapping[str, Any]) -> Iterator[str]:
    cases = kept["cases"]
    means = {case: {name: _mean(row[name]) for name in row} for case, row in cases.items()}
    yield f"## {theme.title}\n"
    yield f"*{question(theme)}*\n"
    answer = theme.answer.strip().format(**means, difference=_Differences(cases))
    yield answer + "\n"
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
    done = "one run without training" if "--timing-only" in options else f"{runs}, {cost}"
    yield (
        f"[`scenarios/{theme.name}.yaml`](../scenarios/{theme.name}.yaml): `afl-sim run "
        f"{theme.name}{options} --out runs/{theme.name}`; {done}.\n"
    )


def _mean(values: list[float | None]) -> float:
    """The mean; NaN where some replication has no value, so that no answer can quote it."""
    return float(np.mean([np.nan if value is None else value for value in values]))


def _cell(measure: Measure, values: list[float | None]) -> str:
    """The mean and the range; if not every replication reached it, the number that did."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return f"reached by {len(there)} of {len(values)}"
    mean = measure.form.format(float(np.mean(there)))
    low, high = measure.form.format(min(there)), measure.form.format(max(there))
    return mean if low == high else f"{mean} ({low}–{high})".replace("%–", "–")


def picture(theme: Theme) -> Path:
    """The path of a theme's picture."""
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
    """Store the measurements of the given folders, or draw their pictures."""
    folders = [Path(argument) for argument in arguments if not argument.startswith("-")]
    if not folders:
        print(__doc__)
        return 2
    (draw if "--draw" in arguments else keep)(folders)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
