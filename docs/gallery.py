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
CLIENTS = (
    "afl-sim run smallest --set clients.count=100 --set 'data={partition: {kind: dirichlet, "
    "alpha: 0.3, min_samples: 20}, client_test: 0.2}' --set 'evaluation={every_versions: 1, "
    "per_client: true, metrics: [accuracy, f1_macro, ece]}' --out runs/clients"
)
FLEET = (
    "afl-sim run phones-and-desktops --timing-only --set stop.virtual_seconds=86400 "
    "--out runs/fleet"
)
ADAPTIVE = "afl-sim run adaptive-server --timing-only --out runs/adaptive"
UPLINKS = "afl-sim run varying-uplink --timing-only --set replications=1 --out runs/uplinks"
ENERGY = "afl-sim run energy --out runs/energy"
RUNS = {
    "runs/quickstart": "afl-sim run quickstart --out runs/quickstart",
    "runs/seeds": SEEDS,
    "runs/map": MAP,
    "runs/clients": CLIENTS,
    "runs/fleet": FLEET,
    "runs/energy": ENERGY,
    "runs/adaptive": ADAPTIVE,
    "runs/uplinks": UPLINKS,
}
# For each figure the runs that it shows here; some figures have two pictures.
DRAWN = {name: ["runs/quickstart"] for name in FIGURES} | {
    "accuracy": ["runs/quickstart", "runs/seeds"],
    "metrics": ["runs/clients"],
    "gradient-norm": ["runs/seeds"],
    "per-client": ["runs/clients"],
    "groups": ["runs/fleet"],
    "presence": ["runs/fleet"],
    "adaptation": ["runs/adaptive"],
    "bandwidth": ["runs/uplinks"],
    "time-to-accuracy": ["runs/quickstart"],
    "sweep": ["runs/map"],
    "sweep-map": ["runs/map"],
    "pareto": ["runs/energy"],
    "differences": ["runs/seeds"],
}
HEAD = """\
# Figures

`afl-sim plot RUN...` draws every figure for which the runs have the data, and states what each
other figure lacks. `--figure NAME` selects figures; `--figure module:function` draws
[one of your own](how-to/own-figure.md). `--format png,pdf,svg` and `--style
paper|column|slides|dark` set the appearance. Runs with the same setting and different seeds share
a colour. Lines are means with Student's 95 % intervals, points of a distribution are pooled, and
figures of single runs (the timeline, the network) show the first run.

Runs with the same setting may end at different times. What a run would have done after its end is
unknown, so its last value is not extended. After some seeds have ended, the line continues in a
lighter colour as the mean of the others. It is labelled with their number, as in `2 of 3`; the
output of `plot` states this, too. This part has no band, because the seeds that continue are not a
random sample: they are the slow ones. For the same reason the line is broken where a seed ends; a
jump there does not show learning. A run is also left out of the mean at an evaluation without a
number. A cross marks the point where a run diverged. The table of `compare` gives the mean of the
final values of all seeds.

In Python a figure is a function that takes runs and returns a matplotlib figure:

```python
from afl_sim.recording import load_runs
from afl_sim.analysis import FIGURES

figure = FIGURES["staleness"].function(load_runs(["runs/quickstart"]), style="slides")
figure.savefig("staleness.pdf")
```

PDF files embed TrueType fonts in every style, also for formulas. IEEE and ACM do not accept Type
3 fonts.

## Steering a figure

Options change what a figure shows and how large it is:

```console
$ afl-sim plot runs/quickstart --figure accuracy --x updates --ylim 60,100 --width 84mm --format pdf
$ afl-sim plot runs/quickstart --figure staleness --settings 'fedbuff,fedasync' --order fedbuff --title none
```

| option | meaning |
|---|---|
| `--x` | what curves are drawn against: `time`, `versions`, `updates`, `samples` or `bytes`; `energy`, `price` or `carbon` if [the run counts it](how-to/energy.md). `pareto` shows one of these three beside the time |
| `--xlim`, `--ylim` | limits in the unit of the axis: `0,300`, or `,300` with an open end. Limits of time, bytes and energy may have units: `--xlim '0,2 h'` |
| `--log` | `x` or `y`: a logarithmic axis |
| `--settings` | the settings or runs that are drawn, by their names in figures and tables; `*` stands for any characters |
| `--order` | the settings that come first in the legend; colours follow this order |
| `--title` | a title above the figure, with formulas between dollar signs; `none` removes the titles, except those that tell panels apart |
| `--width`, `--height` | the size of the file: a length in `mm`, `cm`, `in` or `pt` (a point of LaTeX) |

A figure of less than 127 mm has the texts of the style `column`, and its panels below each other. Not every
figure has a use for every option; the message names the figures that have. `compare` and `report` take
`--settings` and `--order`, too.

The same words in a block `figure:` make a scenario draw its own figures. `name` is the figure, and `file`
the name of its file:

```yaml
figure:
  - {{name: accuracy, x: updates, ylim: [60, 100], width: 84mm, format: pdf}}
  - {{name: accuracy, file: end, xlim: [400, null], ylim: [90, 100], width: 84mm, format: pdf}}
  - {{name: staleness, settings: [fedbuff, fedasync], title: none, width: 84mm, format: pdf}}
```

`afl-sim plot` without options draws these figures, and options override their keys. A block without `name`
is for all figures that no other block names. `afl-sim report` shows the figures of the blocks before its others; it
has a size and a style of its own. The block does not belong to the identity of a run. To change
it, edit the scenario file and run it again: finished runs are reused, and take over the new block.
[scenario.md](scenario.md#figure) lists the keys.

## The report

`afl-sim report RUN` writes `report.html`: the figures of a run, a chart of its main metric, a
timeline, and tables of the summary and the clients. It is a self-contained page that works offline.
The mouse wheel or a finger scrolls the page. In the two charts you zoom with Ctrl and the wheel,
two fingers, the buttons, or the keys `+`, `-` and `0`; you move by dragging or with the arrow keys.
Pointing or tapping shows the values. A table with more than 20 rows shows 20 at first and can be
expanded, searched and sorted.

`afl-sim report STUDY` writes one page for a study. It also writes the pages of the runs if there
are at most 20 runs. With `--runs` it writes them for any number, with `--no-runs` for none. The
page of the study links to the existing pages and shows the command for the others. The page of a
run links to the page of its study. For a large study the figures show 16 settings, spread evenly
over the study's order, and at most 120 runs, with a notice. Tables, `sweep`, `sweep-map` and
`differences` always include all runs.

## The figures

The pictures below show the following runs; `python docs/gallery.py` draws them again.

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
