"""docs/papers.md and the results in the papers' READMEs, from the results that are kept."""

from __future__ import annotations

from pathlib import Path

from afl_sim.papers.judging import judged
from afl_sim.papers.pages import to_markdown, verdict
from afl_sim.papers.results import Results, read_results
from afl_sim.papers.target import SCALES, Scale, Target, find_target, target_names

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: made by docs/generate.py -->", "<!-- end of results -->"
HEAD = """\
# Papers

Published figures and tables, with reported and measured numbers side by side. `afl-sim reproduce`
lists them. `afl-sim reproduce NAME` runs what is missing at small scale, prints the tables and draws
the figure; `--scale full` uses the published settings. Each `target.yaml` states the tolerances and
their reasons; they were written before the runs that they judge. If a number is outside its
tolerance, the table shows by how much, and names the cause with the study that shows it. A row is
*superseded* if its published number is judged again by another test, which was written before its runs: its
verdict stays, but the other one counts. *Unconfirmed* numbers were reported from memory: they were
found neither in the paper, nor in its authors' code, nor in a secondary source. If the source is a
secondary one, the target's README names it. *Minutes of computation* are the wall times of all runs
of a target added up; up to two ran at the same time. Models of *native* arithmetic depend on the
processor and on the version of PyTorch; those of *portable* arithmetic do not. The schedules depend on
neither. The kept results have a digest of each run, and `afl-sim reproduce` says whether its runs agree.

`python docs/generate.py` generates this page from the results in `scenarios/papers/*/results`.
`afl-sim reproduce NAME --keep` writes those results, and leaves the results of studies that it did not
run unchanged.
"""


def pages() -> dict[Path, str]:
    """The page of all papers, and the README of each that shows its results."""
    targets = [find_target(name) for name in target_names()]
    made = {ROOT / "docs" / "papers.md": papers_page(targets)}
    for target in targets:
        path = target.folder / "README.md"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if BEGIN in text and END in text:
            before, rest = text.split(BEGIN, 1)
            after = rest.split(END, 1)[1]
            made[path] = f"{before}{BEGIN}\n\n{results_of(target)}\n{END}{after}"
    return made


def papers_page(targets: list[Target]) -> str:
    """Every target in a table, then its results."""
    rows = [
        "| target | what | cost at small and full scale | state |",
        "|---|---|---|---|",
        *(
            f"| [{target.name}](#{target.name}) | {target.title} | {target.minutes.small:g} min, "
            f"{target.minutes.full:g} min | {_state(target)} |"
            for target in targets
        ),
    ]
    parts = [HEAD, "\n".join(rows) + "\n", _total(targets)]
    for target in targets:
        parts.append(f"## {target.name}\n\n{target.title}.\n\n{target.citation}.\n")
        readme = target.folder.relative_to(ROOT)
        parts.append(f"Settings, assumptions and quirks: [{readme}](../{readme}/README.md)\n")
        image = ROOT / "docs" / "images" / f"papers-{target.name}.png"
        if image.is_file():
            parts.append(f"![{target.title}](images/{image.name})\n\n{target.figure or ''}\n")
        parts.append(results_of(target))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def results_of(target: Target) -> str:
    """The results of the largest scale that is kept, as Markdown."""
    found = _kept(target)
    if found is None:
        return "Not run yet.\n"
    results = found[1]
    return (
        f"At {results.scale} scale: {verdict(target, results)}.\n\n{to_markdown(target, results)}"
    )


def _total(targets: list[Target]) -> str:
    """How many numbers are within their tolerance, in all targets together."""
    found = [(target, _kept(target)) for target in targets]
    rows = [row for target, kept in found if kept for row in judged(target, kept[1])]
    shown = [row for row in rows if row.within is not None]
    counted = [row for row in shown if not row.superseded]
    within, of_all = (sum(bool(row.within) for row in some) for some in (counted, shown))
    return (
        f"In all, {within} of {len(counted)} rows are within their tolerance "
        f"({100 * within / len(counted):.1f} %); with superseded rows, {of_all} of {len(shown)} "
        f"({100 * of_all / len(shown):.1f} %).\n"
    )


def _kept(target: Target) -> tuple[Scale, Results] | None:
    for scale in reversed(SCALES):
        results = read_results(target.results(scale))
        if results is not None:
            return scale, results
    return None


def _state(target: Target) -> str:
    found = _kept(target)
    return "not run yet" if found is None else f"{found[0]}: {verdict(target, found[1])}"
