"""The two kinds of pages: for a run and for a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import yaml
from markupsafe import Markup

from afl_sim.analysis.compare import interval_texts, over_seeds
from afl_sim.analysis.compared_runs import comparison, texts_of
from afl_sim.analysis.intervals import sentences
from afl_sim.analysis.measures import measure_all, parts_of_costs
from afl_sim.analysis.registry import FIGURES
from afl_sim.analysis.replications import named
from afl_sim.analysis.report.charts import (
    metric_data,
    metric_keys,
    timeline_data,
    timeline_keys,
)
from afl_sim.analysis.report.drawn import WHOLE, drawings
from afl_sim.analysis.report.links import command, link_to
from afl_sim.analysis.report.tables import clients_table, runs_table, table_of
from afl_sim.analysis.series import client_count
from afl_sim.recording import Run
from afl_sim.recording.files import write_text
from afl_sim.recording.study_index import is_study
from afl_sim.scenario.wording import one_line

REPORT: Final = "report.html"
MOST_SENTENCES: Final = 30

# The page has charts of its own for these two.
_RUN_FIGURES: Final = tuple(
    name for name in FIGURES if name not in {"accuracy", "timeline"} and name not in WHOLE
)
_STUDY_FIGURES: Final = (
    *WHOLE,
    *(name for name in FIGURES if name != "accuracy" and name not in WHOLE),
)
_INTERVALS: Final = (
    "Means over replications with Student's 95 % interval; differences are paired on the seeds "
    "that two settings share. Each interval is valid by itself; they are not "
    "corrected for multiple comparisons."
)


def write_run_report(run: Run, path: Path | None = None, study: Path | None = None) -> Path:
    """Write a run's report.

    Args:
        path: the file; default ``report.html`` in the run folder.
        study: the page of its study, which it links; default that beside it, if there is one.

    Returns:
        Its path.

    Raises:
        AflSimError: it cannot be written; nothing is left behind.
    """
    chosen = path or run.path / REPORT
    timeline = timeline_data(run)
    metric = metric_data([run])
    return _write(
        "run.html",
        chosen,
        title=run.label,
        description=_description(run),
        study=_study_link(study or _study_page(run), chosen),
        summary=_summary(run),
        metric_keys=metric_keys(metric),
        no_metric=_no_metric([run]),
        timeline_keys=timeline_keys(timeline),
        timeline_note=_timeline_note(timeline, run),
        figures=drawings([run], _RUN_FIGURES),
        clients=clients_table(run),
        scenario=yaml.safe_dump(run.scenario, sort_keys=False),
        data={"metric": metric, "timeline": timeline},
    )


def write_study_report(
    name: str,
    runs: Sequence[Run],
    path: Path,
    folder: Path | None = None,
    not_begun: Sequence[str] = (),
) -> Path:
    """Write the report of several runs, with a link to the report of each that has one.

    Args:
        name: the page's title.
        path: the file.
        folder: the study, for the command that makes the pages of its runs; default that of the
            first run.
        not_begun: labels of runs that the study was to have and has not begun.

    Raises:
        AflSimError: it cannot be written; nothing is left behind.
    """
    measured = measure_all(runs)
    frame = comparison(runs, measured)
    seeds = over_seeds(runs, measured, frame)
    metric = metric_data(runs)
    said = sentences(seeds.differences) if seeds else []
    return _write(
        "study.html",
        path,
        title=one_line(name),
        description=_description(runs[0]),
        study=None,
        settings=table_of(interval_texts(seeds.intervals)) if seeds else None,
        differences=said[:MOST_SENTENCES],
        differences_note=_differences_note(len(said)) if seeds else "",
        runs=runs_table(texts_of(frame), runs, path, REPORT),
        without_page=_without_page(runs, folder or runs[0].path.parent),
        not_begun=f"Not begun: {named(not_begun)}." if not_begun else "",
        metric_keys=metric_keys(metric),
        no_metric=_no_metric(runs),
        figures=drawings(runs, _STUDY_FIGURES, {"measured": measured}),
        data={"metric": metric, "timeline": None},
    )


def _write(template: str, path: Path, **values: Any) -> Path:
    here = files("afl_sim.analysis.report")
    style = (here / "page.css").read_text(encoding="utf-8")
    scripts = [(here / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    page = _templates().get_template(template)
    text = page.render(style=Markup(style), script=Markup("\n".join(scripts)), **values)
    write_text(path, text)
    return path


_SCRIPTS: Final = ("tables", "zoom", "charts")


@cache
def _templates() -> jinja2.Environment:
    """The templates of this folder; they escape whatever is put in."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("afl_sim.analysis", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return found


def _description(run: Run) -> str:
    return one_line(" ".join(str(run.scenario.get("description") or "").split()))


def _study_page(run: Run) -> Path | None:
    """The page of a run's study, if it is there."""
    page = run.path.parent / REPORT
    return page if page.is_file() and is_study(page.parent) else None


def _study_link(page: Path | None, own: Path) -> Mapping[str, str] | None:
    if page is None:
        return None
    return {"name": one_line(page.resolve().parent.name), "link": link_to(page, own)}


def _without_page(runs: Sequence[Run], folder: Path) -> Mapping[str, Any] | None:
    """The number of runs without a page, and the commands that make one or all; None if none lacks
    one."""
    lacking = [run for run in runs if not (run.path / REPORT).is_file()]
    if not lacking:
        return None
    return {
        "count": f"{len(lacking):,}",
        "one": command(lacking[0].path),
        "all": command("--runs", folder),
    }


def _differences_note(count: int) -> str:
    if count <= MOST_SENTENCES:
        return _INTERVALS
    return (
        f"{_INTERVALS} The first {MOST_SENTENCES} of {count:,} differences; "
        "afl-sim compare prints all, and its --out writes them."
    )


def _summary(run: Run) -> list[tuple[str, str]]:
    frame = comparison([run])
    facts = [(heading, values[0]) for heading, values in texts_of(frame) if heading not in {"run"}]
    facts += parts_of_costs(run)
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


def _no_metric(runs: Sequence[Run]) -> str:
    if all(run.status in {"complete", "diverged"} for run in runs):
        return "No evaluations: the runs did not train (timing only)."
    return "No evaluations yet: the run is not finished, or was interrupted."


def _timeline_note(data: Mapping[str, Any] | None, run: Run) -> str:
    if data is None:
        return ""
    shown = len(data["clients"])
    note = (
        f"{shown} of {client_count(run):,} clients, the slowest at the top; a cross marks a task "
    )
    note += "that failed or was cancelled; the ticks of the server are its versions."
    if data["cut"]:
        note += f" It shows the first {data['end']:,.0f} s, because the run has very many tasks."
    return note
