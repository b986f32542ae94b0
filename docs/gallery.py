"""Draws the pictures of docs/figures.md and writes the page, so that each has its command.

python docs/gallery.py [FOLDER]    draw the runs of FOLDER/runs (default: here), running what is
                                   missing there; takes some minutes on the first call
python docs/gallery.py --page      write the page only
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from afl_sim.analysis.drawing import rendered
from afl_sim.analysis.registry import FIGURES
from afl_sim.recording import load_runs

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
DPI = 100

SEEDS = (
    "afl-sim run quickstart --set replications=5 --set stop.updates=100 "
    "--set evaluation.samples=300 --set evaluation.squared_gradient_norm=true "
    "--set model=logistic --set training.optimizer.lr=0.05 --out runs/seeds"
)
MAP = (
    "afl-sim run quickstart --timing-only --set replications=3 "
    "--set 'sweep={strategy.concurrency: [20, 40, 60, 80], strategy.buffer_size: [1, 5, 10, 20]}' "
    "--out runs/map"
)
RUNS = {
    "runs/quickstart": "afl-sim run quickstart --out runs/quickstart",
    "runs/seeds": SEEDS,
    "runs/map": MAP,
}
# Of each figure the runs that it is drawn of here; two of them are worth a second picture.
DRAWN = {name: ["runs/quickstart"] for name in FIGURES} | {
    "accuracy": ["runs/quickstart", "runs/seeds"],
    "gradient-norm": ["runs/seeds"],
    "time-to-accuracy": ["runs/quickstart"],
    "sweep": ["runs/map"],
    "sweep-map": ["runs/map"],
    "differences": ["runs/seeds"],
}
HEAD = """\
# Figures

`afl-sim plot RUN...` draws every figure that the runs can supply, and says of each other one what
is missing; `--figure NAME` picks some, `--format png,pdf,svg` and `--style
paper|column|slides|dark` choose how. Runs of one setting that differ in their seed only share a
colour: lines are means with Student's 95 % intervals, points of a distribution are pooled, and
pictures of single runs (the timeline, the network) show the first.

Runs of one setting may end at different times. What a run would have done after its end is not
known, so its last value is not held. Where some seeds have ended, the line goes on lighter as the
mean of the others. It says of how many, as in `2 of 3`, and so does the line that `plot` prints. It
has no band there: the seeds that go on are no random choice, but the slow ones. For the same reason
the line breaks where a seed ends; a jump there is no learning. A run also leaves the mean at an
evaluation that has no number; a cross marks where a run diverged. The table of `compare` holds the
mean of what every seed reached in the end.

From Python a figure is a function of runs that returns a matplotlib figure:

```python
from afl_sim.recording import load_runs
from afl_sim.analysis import FIGURES

figure = FIGURES["staleness"].function(load_runs(["runs/quickstart"]), style="slides")
figure.savefig("staleness.pdf")
```

PDF files embed TrueType fonts, in every style and also for math: IEEE and ACM refuse Type 3 fonts.

## The report

`afl-sim report RUN` puts the figures of a run on one page, `report.html`, with a chart of accuracy,
a timeline, and tables of the summary and the clients. The page needs no network. The wheel and a
finger scroll it everywhere. In the two charts Ctrl and the wheel, two fingers, the buttons, and the
keys `+`, `-` and `0` zoom; dragging and the arrow keys move. The pointer or a tap tells what is
there. A table of more than 20 rows shows 20 until you ask for all; it can be searched and sorted.

`afl-sim report STUDY` writes one page for a study. It also writes the pages of its runs if they are
at most 20. `--runs` writes them for any number, `--no-runs` for none. The study's page links the
pages that there are, and shows the command for the others; a run's page links the page of its
study. Of a large study the figures show 16 settings, spread evenly over the study's order, and at
most 120 runs; they say so. Tables, `sweep`, `sweep-map` and `differences` are always of all runs.

## The figures

The pictures below are of these runs; `python docs/gallery.py` draws them again.

```
{runs}
```
"""


def main(arguments: list[str]) -> None:
    """Draw what is asked for and write the page."""
    if arguments != ["--page"]:
        folder = Path(arguments[0] if arguments else ".").resolve()
        for place, command in RUNS.items():
            if not (folder / place).exists():
                subprocess.run(shlex.split(command), cwd=folder, check=True)
        for name, places in DRAWN.items():
            for place in places:
                figure = FIGURES[name].function(load_runs([folder / place]))
                image(name, place).write_bytes(rendered(figure, "png", dpi=DPI))
    (ROOT / "docs" / "figures.md").write_text(page(), encoding="utf-8")


def image(name: str, place: str) -> Path:
    """Where the picture of a figure of some runs lies."""
    suffix = "" if place == DRAWN[name][0] else f"-{Path(place).name}"
    return IMAGES / f"{name}{suffix}.png"


def page() -> str:
    """The page's text."""
    parts = [HEAD.format(runs="\n".join(RUNS.values()))]
    for name, places in DRAWN.items():
        kind = FIGURES[name]
        parts.append(f"## {name}\n\n{kind.description} Needs {kind.needs}.\n")
        for place in places:
            picture = image(name, place).relative_to(ROOT / "docs")
            command = f"afl-sim plot {place} --figure {name}"
            parts.append(f"```console\n$ {command}\n```\n\n![{name} of {place}]({picture})\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main(sys.argv[1:])
