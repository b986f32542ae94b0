"""What tests look at in figures: the texts that are drawn, legends, lighter lines."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from places import ROOT

from afl_sim.analysis import FIGURES

UPLINKS = ROOT / "scenarios" / "traces" / "uplinks.csv"
STUDY = ("sweep", "sweep-map", "differences", "pareto")
LONG = "fedasync-with-hinge-staleness-a10-b4-and-a-proximal-term"


def texts_on(figure):
    """Every text that is really drawn, with its box in pixels."""
    drawn = {}
    draw = Text.draw

    def record(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            drawn[text] = None
        return draw(text, renderer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(figure).draw()
    return [(text.get_text(), text.get_window_extent()) for text in drawn]


def assert_texts_are_apart(figure):
    width, height = figure.canvas.get_width_height()
    boxes = texts_on(figure)
    assert len(boxes) > 4
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for (text_a, a), (text_b, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 1 or down <= 1.5, f"{text_a!r} lies on {text_b!r}"


def lighter(axes):
    """Lines that are not drawn in their full colour, in order."""
    return [
        line for line in axes.get_lines() if (line.get_alpha() or 1) < 1 and len(line.get_xdata())
    ]


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def visible_axes(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def shown_by(name, runs, count):
    """As many runs as one page takes; the figures of a study need replications."""
    shown = runs[: min(count, FIGURES[name].per_page or count)]
    if name == "adaptation":
        return list(map(controlled, shown))
    if name == "bandwidth":
        return list(map(traced, shown))
    if name == "pareto":
        return list(map(counted, shown))
    return list(map(grouped, shown)) if name in ("groups", "presence") else shown


def counted(run):
    """The run, as if its clients had used two joules for each event."""
    total = 2.0 * run.event_count
    energy = dict.fromkeys(("download", "compute", "upload", "idle", "server", "wasted"), 0.0)
    return replace(run, summary={**run.summary, "energy_joules": {**energy, "total": total}})


def controlled(run):
    """The run, as if a controller had kept its concurrency as it was."""
    server = {"adaptive": {"kind": "staleness_target", "p95": 10}}
    strategy = {**run.scenario["strategy"], "concurrency": 10}
    return replace(run, scenario={**run.scenario, "server": server, "strategy": strategy})


def traced(run):
    """The run, as if its clients' links had changed in time."""
    link = {"bandwidth_trace": {"trace": str(UPLINKS), "random_start": True}}
    clients = {**run.scenario["clients"], "network": {"download": link, "upload": link}}
    return replace(run, scenario={**run.scenario, "clients": clients})


def grouped(run):
    """The run, as if half of its clients were phones that are there at night only."""
    clients = dict(run.scenario["clients"])
    night = {"kind": "diurnal", "share": 0.4, "period": 40.0}
    clients["groups"] = [
        {"name": "phones", "share": 0.5, "availability": night},
        {"name": "desktops of a university", "share": 0.5},
    ]
    if clients["count"] == 1:
        clients["groups"] = [{"name": "phone", "count": 1, "availability": night}]
    return replace(run, scenario={**run.scenario, "clients": clients})


def varied(run, status="complete", seconds=None, **settings):
    """The run of a setting whose summary says so."""
    run.scenario["clients"].update(settings)
    run.summary.update(status=status, time_to_accuracy={"0.9": seconds})
    return run


def titled(figure, title):
    return next(axes for axes in figure.axes if axes.get_title() == title)


def relative_luminance(color):
    channels = np.array([int(color[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
