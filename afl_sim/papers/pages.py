"""Results as text: on the terminal, as CSV, and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from afl_sim.papers.agreement import arithmetic
from afl_sim.papers.judging import Borne, Judged, borne, judged
from afl_sim.papers.results import Results
from afl_sim.papers.target import Target
from afl_sim.papers.words import Missed, Table, Tolerance

_COLUMNS: Final = (
    "quantity",
    "row",
    "reported",
    "confirmed",
    "measured",
    "low",
    "high",
    "n",
    "reached",
    "deviation",
    "within",
)
_NOT_RUN: Final = "not run here"
_PREDICTION: Final = "prediction"
_INSIDE: Final = "the reported number lies in the 95 % prediction interval of a replication"
_INTERVAL: Final = {"mean": "95 % interval", "median": "quartiles"}


def to_csv(target: Target, results: Results) -> str:
    """The tables, a line for each row with its values, and the claims."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((*_COLUMNS, "values"))
    for row in judged(target, results):
        values = results.tables.get(row.quantity, {}).get(row.row, [])
        cells = [_cell(getattr(row, name)) for name in _COLUMNS]
        writer.writerow([*cells, " ".join(_cell(value) or "-" for value in values)])
    for claim in borne(target, results):
        share = claim.holds / claim.n if claim.n else None
        cells = ["" for _ in _COLUMNS]
        cells[:2] = [claim.quantity, claim.says]
        cells[4], cells[7] = _cell(share), _cell(claim.n)
        truths = results.claims.get(claim.quantity, [])
        writer.writerow([*cells, " ".join(map(_cell, truths))])
    return buffer.getvalue()


def to_markdown(target: Target, results: Results) -> str:
    """The tables with their tolerances, the claims, and how they were made."""
    from afl_sim.analysis.tables import to_markdown

    parts = []
    for table, rows in _by_table(target, results):
        parts.append(f"**{heading(table)}**\n")
        numbers, causes = texts(table, rows), _causes(rows)
        parts.append(to_markdown([*numbers, *causes], left=(0, len(numbers))))
        parts.append("".join(f"{line}\n" for line in _reasons(table, rows)))
        parts += [f"{line}\n" for line in _superseded(target, table, rows)]
    claims = borne(target, results)
    parts.append("".join(f"- {claim_line(claim)}\n" for claim in claims))
    parts.append("".join(f"{line}  \n" for line in notes(target, results)))
    return "\n".join(part for part in parts if part)


def print_results(target: Target, results: Results) -> None:
    """Print the tables, the claims, and what the scale cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    console = Console()
    for table, rows in _by_table(target, results):
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        columns = texts(table, rows)
        for number, (name, _) in enumerate(columns):
            grid.add_column(name, justify="right" if number else "left", overflow="fold")
        for cells in zip(*(values for _, values in columns), strict=True):
            grid.add_row(*map(Text, cells))
        console.print(heading(table), highlight=False, markup=False)
        console.print(grid)
        for row in rows:
            if row.missed:
                line = f"{row.row}: {_cause(row.missed)}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)
        for line in _superseded(target, table, rows):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print()
    for claim in borne(target, results):
        console.print(claim_line(claim), highlight=False, markup=False, soft_wrap=True)
    for line in (verdict(target, results), *notes(target, results)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def heading(table: Table) -> str:
    """A table's title with its unit."""
    return f"{table.title} ({table.unit})" if table.unit else table.title


def texts(table: Table, rows: Sequence[Judged]) -> list[tuple[str, list[str]]]:
    """Heading and written values of each column of a table, those left out that are empty."""
    columns = [
        ("", [row.row for row in rows]),
        ("reported", [_reported(table, row) for row in rows]),
        ("measured", [_measured(table, row) for row in rows]),
        (_INTERVAL[table.statistic], [_interval(table, row) for row in rows]),
        ("n", [str(row.n or "") for row in rows]),
        ("tolerance", [_tolerance(table, row) for row in rows]),
        ("within", [_within(row) for row in rows]),
    ]
    return [column for column in columns if any(column[1])]


def claim_line(claim: Borne) -> str:
    """A claim, and how often it held."""
    if not claim.n:
        return f"{claim.says}: {_NOT_RUN}"
    if claim.n == 1:
        return f"{claim.says}: {'holds' if claim.holds else 'does not hold'}"
    return f"{claim.says}: holds in {claim.holds} of {claim.n} replications"


def verdict(target: Target, results: Results) -> str:
    """One line: how many rows and claims agree with the publication."""
    all_rows = [row for row in judged(target, results) if row.within is not None]
    rows = [row for row in all_rows if not row.superseded]
    superseded = [row for row in all_rows if row.superseded]
    claims = [claim for claim in borne(target, results) if claim.n]
    said = []
    if rows:
        said.append(f"{sum(bool(row.within) for row in rows)} of {len(rows)} rows within tolerance")
    if superseded:
        within = sum(bool(row.within) for row in superseded)
        said.append(f"{within} of {len(superseded)} rows that others supersede")
    if claims:
        held = sum(claim.holds == claim.n for claim in claims)
        said.append(f"{held} of {len(claims)} claims hold")
    return "; ".join(said) or "nothing to judge"


def notes(target: Target, results: Results) -> Iterator[str]:
    """What the scale cut, what was not run, and how the results were made."""
    for study, ran in results.studies.items():
        if ran["cut"]:
            yield f"Reduced at {results.scale} scale: {study}: {ran['cut']}."
    if results.scale == "small":
        for study, runs in target.studies.items():
            if runs.small == "skip":
                yield f"Left out at small scale: {study}{_at_cost(runs.cost)}."
        for table in target.tables.values():
            if not table.at_small:
                yield f"Meaningful at full scale only: {table.title}."
    for study, cost in results.not_run.items():
        yield f"Not run here: {study}{_at_cost(cost)}."
    how = arithmetic(results)
    if how:
        yield how
    yield f"Made by {_how(results.made, results.made['minutes'])}"
    earlier: dict[str, list[str]] = {}  # the studies that one command made
    for study, ran in results.studies.items():
        if "made" in ran:
            earlier.setdefault(repr(ran["made"]), []).append(study)
    for studies in earlier.values():
        made = results.studies[studies[0]]["made"]
        minutes = sum(results.studies[study]["minutes"] for study in studies)
        yield f"Kept from earlier runs: {', '.join(studies)}, made by {_how(made, minutes)}"


def _how(made: Mapping[str, Any], minutes: float) -> str:
    return (
        f"`{made['command']}` on {made['date']}: {made['machine']}, "
        f"torch {made['torch']}, {minutes:.1f} minutes of computation."
    )


def _at_cost(cost: str) -> str:
    return f" ({cost})" if cost else ""


def _by_table(target: Target, results: Results) -> Iterator[tuple[Table, list[Judged]]]:
    rows = judged(target, results)
    for quantity, table in target.tables.items():
        found = [row for row in rows if row.quantity == quantity]
        if found:
            yield table, found


def _reported(table: Table, row: Judged) -> str:
    if row.reported is None:
        return ""
    return table.format.format(row.reported) + ("" if row.confirmed else " (unconfirmed)")


def _measured(table: Table, row: Judged) -> str:
    if not row.n:
        return _NOT_RUN
    if row.measured is None:
        return f"reached in {row.reached} of {row.n}"
    return table.format.format(row.measured)


def _interval(table: Table, row: Judged) -> str:
    if row.low is None and row.high is None:
        return ""
    low, high = (
        "not reached" if end is None else table.format.format(end) for end in (row.low, row.high)
    )
    return f"[{low}, {high}]"


def _tolerance(table: Table, row: Judged) -> str:
    tolerance = table.tolerance_of(row.row)
    if row.reported is None or tolerance is None:
        return ""
    return _said(tolerance)


def _said(tolerance: Tolerance) -> str:
    if tolerance.relative is not None:
        return f"±{100 * tolerance.relative:g} %"
    return _PREDICTION if tolerance.absolute is None else f"±{tolerance.absolute:g}"


def _causes(rows: Sequence[Judged]) -> list[tuple[str, list[str]]]:
    """The column of causes, if a row has one."""
    if not any(row.missed for row in rows):
        return []
    return [("cause of the miss", [_cause(row.missed) if row.missed else "" for row in rows])]


def _cause(missed: Missed) -> str:
    return f"{missed.cause} (study {missed.study})"


def _superseded(target: Target, table: Table, rows: Sequence[Judged]) -> Iterator[str]:
    """Which rows of a table count elsewhere, and why."""
    found = [row for row in rows if row.superseded and row.within is not None]
    if table.superseded and found:
        which = "All rows" if table.superseded.rows is None else "; ".join(r.row for r in found)
        title = target.tables[table.superseded.by].title
        yield f"Superseded by the table *{title}*: {which}. {table.superseded.because}."


def _within(row: Judged) -> str:
    said = _verdict(row)
    return f"{said} (superseded)" if said and row.superseded else said


def _verdict(row: Judged) -> str:
    if row.within is None:
        return "too few" if row.reported is not None and row.n else ""
    if row.within:
        return "yes"
    if row.deviation is None:
        return "no, not reached"
    if not row.reported:
        return f"no, {row.deviation:+.3g}"
    return f"no, {100 * row.deviation / abs(row.reported):+.1f} %"


def _reasons(table: Table, rows: Sequence[Judged]) -> Iterator[str]:
    """Each tolerance of a table with its reason, once, and with its power if that is known."""
    seen: dict[tuple[str, str], set[int]] = {}
    for row in rows:
        tolerance = table.tolerance_of(row.row)
        if row.reported is None or tolerance is None:
            continue
        counts = seen.setdefault((_said(tolerance), tolerance.because), set())
        if tolerance.spread is not None and row.n > 1:
            counts.add(row.n)
    for (said, because), counts in seen.items():
        reasons = [because] if because else []
        if said == _PREDICTION:
            reasons = [_INSIDE, *reasons, *([_power(counts)] if counts else [])]
        yield f"Tolerance {said}: {'; '.join(reasons)}."


def _power(counts: Iterable[int]) -> str:
    from afl_sim.analysis.statistics import detectable_difference

    each = (f"{detectable_difference(n):.1f} (n = {n})" for n in sorted(counts))
    said = ", ".join(each)
    return f"power: 80 % for a difference of {said} standard deviations of a replication"


def _cell(value: float | bool | str | None) -> str:
    """A value of a CSV file; six digits, which every machine agrees on."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.6g}"
