"""The two pages: of a run and of a study."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import quote

import pandas as pd
import yaml

from afl_sim.recording import Run
from afl_sim.recording.files import write_text
from analysis.compare import comparison, interval_texts, over_seeds, texts_of
from analysis.drawing import pages
from analysis.intervals import sentences
from analysis.measures import has_events, measure_all
from analysis.registry import FIGURES, CannotDraw
from analysis.report.charts import accuracy_data, timeline_data
from analysis.report.clients import COLUMNS, MOST, client_table, sampled
from analysis.report.svg import inline_svg
from analysis.series import client_count
from analysis.tables import Texts

REPORT: Final = "report.html"

# The page has charts of its own for these two.
_RUN_FIGURES: Final = tuple(
    name
    for name in FIGURES
    if name not in {"accuracy", "timeline", "sweep", "sweep-map", "differences"}
)
_STUDY_FIGURES: Final = tuple(name for name in FIGURES if name != "accuracy")


def write_run_report(run: Run, path: Path | None = None) -> Path:
    """Write a run's report.

    Args:
        path: the file; default ``report.html`` in the run folder.

    Returns:
        Its path.

    Raises:
        AflSimError: it cannot be written; nothing is left behind.
    """
    chosen = path or run.path / REPORT
    accuracy, timeline = accuracy_data([run]), timeline_data(run)
    parts = [
        _section("Summary", _facts(_summary(run))),
        _accuracy(accuracy, [run]),
        _timeline(timeline, run),
        _figures([run], _RUN_FIGURES),
        _clients(run),
        _section("Scenario", f"<pre>{escape(yaml.safe_dump(run.scenario, sort_keys=False))}</pre>"),
    ]
    lead = f"<p>{escape(_description(run))}</p>" if _description(run) else ""
    data = {"accuracy": accuracy, "timeline": timeline}
    write_text(chosen, _page(run.label, lead, "\n".join(parts), data))
    return chosen


def write_study_report(
    name: str, runs: Sequence[Run], path: Path, not_begun: Sequence[str] = ()
) -> Path:
    """Write the report of several runs, with a link to the report of each.

    Args:
        name: the page's title.
        path: the file.
        not_begun: labels of runs that the study was to have and has not begun.

    Raises:
        AflSimError: it cannot be written; nothing is left behind.
    """
    measured = measure_all(runs)
    frame = comparison(runs, measured)
    seeds = over_seeds(runs, measured, frame)
    accuracy = accuracy_data(runs)
    parts = []
    if seeds is not None:
        parts.append(_section("Settings", _table(interval_texts(seeds.intervals))))
        lines = "".join(f"<li>{escape(line)}</li>" for line in sentences(seeds.differences))
        note = (
            "Means over replications with Student's 95 % interval; differences are paired on the "
            "seeds that two settings share. Each interval holds by itself; none is adjusted for "
            "their number."
        )
        parts.append(f"<ul>{lines}</ul><p class='note'>{escape(note)}</p>")
    links = [os.path.relpath(run.path / REPORT, path.parent) for run in runs]
    parts.append(_section("Runs", _table(texts_of(frame), links)))
    if not_begun:
        parts.append(f"<p class='note'>Not begun: {escape(', '.join(not_begun))}.</p>")
    parts.append(_accuracy(accuracy, runs))
    parts.append(_figures(runs, _STUDY_FIGURES))
    lead = f"<p>{escape(_description(runs[0]))}</p>" if _description(runs[0]) else ""
    write_text(path, _page(name, lead, "\n".join(parts), {"accuracy": accuracy, "timeline": None}))
    return path


def _page(title: str, lead: str, body: str, data: dict[str, Any]) -> str:
    here = files("analysis.report")
    read = {name: (here / f"page.{name}").read_text(encoding="utf-8") for name in ("css", "js")}
    # Inside a script element only the end of that element must not appear.
    embedded = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    template = Template((here / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        style=read["css"],
        lead=lead,
        body=body,
        data=embedded,
        script=read["js"],
    )


def _description(run: Run) -> str:
    return " ".join(str(run.scenario.get("description") or "").split())


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{content}\n</section>"


def _summary(run: Run) -> list[tuple[str, str]]:
    frame = comparison([run])
    facts = [(heading, values[0]) for heading, values in texts_of(frame) if heading not in {"run"}]
    updates = run.summary.get("updates") or {}
    fates = ("dispatched", "discarded", "buffered", "failed", "cancelled")
    facts += [(f"tasks {fate}", f"{updates[fate]:,}") for fate in fates if updates.get(fate)]
    facts += [("clients", f"{client_count(run):,}"), ("seed", str(run.scenario.get("seed", "-")))]
    if "reason" in run.summary:
        facts.append(("reason", str(run.summary["reason"])))
    for key in ("schedule_digest", "model_digest"):
        if run.summary.get(key):
            facts.append((key.replace("_", " "), str(run.summary[key])[:16]))
    return facts


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = (f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd></div>" for a, b in facts)
    return f"<dl>{''.join(rows)}</dl>"


def _table(texts: Texts, links: Sequence[str] | None = None) -> str:
    names = texts[0][1]
    rows = []
    for row in range(len(names)):
        cells = []
        for column, (_, values) in enumerate(texts):
            text = escape(values[row])
            if column == 0 and links is not None:
                text = f'<a href="{escape(quote(links[row]))}">{text}</a>'
            number = _number(values[row])
            value = "" if number is None else f' data-value="{number}"'
            cells.append(f"<td{value}>{text}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _sortable([heading for heading, _ in texts], rows)


def _sortable(headings: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th scope='col'>{escape(heading)}</th>" for heading in headings)
    return (
        f"<div class='scroll'><table class='sortable'><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _number(text: str) -> str | None:
    """The number at the beginning of a cell, without its separators."""
    first = text.partition(" ")[0].replace(",", "")
    try:
        float(first)
    except ValueError:
        return None
    return first


def _clients(run: Run) -> str:
    if not has_events(run):
        return _section("Clients", "<p class='note'>The run has left no events.</p>")
    whole = client_table(run)
    table = sampled(whole)
    headings = ["client", *(COLUMNS[name][0] for name in table.columns)]
    rows = []
    for client, values in zip(table.index, table.to_numpy(dtype=float), strict=True):
        cells = [f"<td>{client}</td>"]
        for name, value in zip(table.columns, values, strict=True):
            text = "-" if pd.isna(value) else COLUMNS[name][1].format(value)
            known = "" if pd.isna(value) else f"{value:.10g}"
            cells.append(f'<td data-value="{known}">{text}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    note = "Click a heading to sort."
    if len(table) < len(whole) or client_count(run) > MOST:
        note += f" {len(table):,} of {client_count(run):,} clients, spread over the order of speed."
    return _section("Clients", _sortable(headings, rows) + f"<p class='note'>{note}</p>")


_CONTROLS: Final = """\
<button type="button" data-zoom="in">zoom in</button>
<button type="button" data-zoom="out">zoom out</button>
<button type="button" data-zoom="all">all</button>
<span class="note span"></span> <span class="note hint">wheel to zoom, drag to move</span>"""


_NO_ACCURACY: Final = "No evaluations: the runs did not train (timing only)."
_NOT_FINISHED: Final = "No evaluations yet: not finished, or broken off before its end."


def _accuracy(data: dict[str, Any] | None, runs: Sequence[Run]) -> str:
    if data is None:
        whole = all(run.status in {"complete", "diverged"} for run in runs)
        note = _NO_ACCURACY if whole else _NOT_FINISHED
        return _section("Accuracy", f"<p class='note'>{note}</p>")
    seen = {line["setting"]: (line["color"], line["dash"]) for line in data["lines"]}
    keys = "".join(_key(label, f"background: {_striped(*look)}") for label, look in seen.items())
    box = f'<div class="chart" id="accuracy"><div class="controls">{_CONTROLS}</div>{keys}</div>'
    return _section("Accuracy (%) over virtual time", box)


def _timeline(data: dict[str, Any] | None, run: Run) -> str:
    if data is None:
        return _section("Timeline", "<p class='note'>No client got a task.</p>")
    names = ["download", "compute", "upload", "idle"]
    if any(data["legs"]["queueing"]):
        names.insert(1, "queueing")
    keys = "".join(_key(name, f"background: var(--{name})") for name in names)
    shown = len(data["clients"])
    note = f"{shown} of {client_count(run):,} clients, the slowest at the top; a cross ends a task "
    note += "that failed or was cancelled; the server's ticks are its versions."
    box = f'<div class="chart" id="timeline"><div class="controls">{_CONTROLS}</div>{keys}</div>'
    return _section("Timeline", f"{box}<p class='note'>{note}</p>")


def _key(name: str, style: str) -> str:
    return f'<span class="key"><i style="{style}"></i>{escape(name)}</span>'


def _striped(color: str, dash: str) -> str:
    """A background like a dashed line."""
    stops, place = [], 0
    for number, length in enumerate(map(int, dash.split())):
        ink = "transparent" if number % 2 else color
        stops.append(f"{ink} {place}px {place + length}px")
        place += length
    return f"repeating-linear-gradient(90deg, {', '.join(stops)})" if stops else color


def _figures(runs: Sequence[Run], names: Sequence[str]) -> str:
    drawn, lacking = [], []
    for name in names:
        kind = FIGURES[name]
        for number, page in enumerate(pages(runs, kind.per_page), start=1):
            try:
                figure = kind.function(page)
            except CannotDraw as error:
                lacking.append(f"{name}: {error}")
                continue
            svg = inline_svg(figure, f"{name}-{number}")
            caption = f"{escape(name)} <span>{escape(kind.description)}</span>"
            drawn.append(f"<figure><figcaption>{caption}</figcaption>\n{svg}</figure>")
    notes = "".join(f"<li>{escape(line)}</li>" for line in lacking)
    if notes:
        drawn.append(f"<p class='note'>Not drawn:</p><ul class='note'>{notes}</ul>")
    return _section("Figures", "\n".join(drawn))
