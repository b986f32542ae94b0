"""`plot`, `compare`, `diff` and `validate --show`: what is read back from run folders."""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
from pathlib import Path

import pytest
from commands import QUICK, Command, digests
from finished import Finished
from places import SMALLEST
from run_checks import everything_in

from afl_sim import load_run


def test_diff_says_that_equal_runs_are_equal(afl_sim: Command, finished: Finished) -> None:
    same, timed = afl_sim.batch(
        [("diff", finished.full, finished.again), ("diff", finished.full, finished.timing)]
    )
    for result in (same, timed):
        assert result.succeeded().out.startswith("No difference")


def test_diff_shows_both_sides_of_the_first_event_that_differs(
    afl_sim: Command, finished: Finished
) -> None:
    (result,) = afl_sim.batch([("diff", finished.full, finished.other)])
    assert result.code == 1
    assert result.err == ""
    found = re.match(r"The schedules differ from event (\d+) on\.\n", result.out)
    assert found
    first = int(found[1])
    one, two = (load_run(path).events for path in (finished.full, finished.other))
    columns = ["time_us", "kind", "client", "task", "version", "base_version", "staleness"]
    one, two = (run[run.kind != "evaluated"][columns].reset_index(drop=True) for run in (one, two))
    assert one[:first].astype(str).equals(two[:first].astype(str))
    assert list(one.loc[first].astype(str)) != list(two.loc[first].astype(str))
    sides = dict(re.findall(r"^> ([AB]) +(.*)$", result.out, re.MULTILINE))
    assert set(sides) == {"A", "B"}
    for side, run in (("A", one), ("B", two)):
        assert str(run.time_us[first]) in sides[side].split()
        assert run.kind[first] in sides[side].split()
    assert str(finished.full.name) in result.out
    assert "Model digest A: " in result.out


def test_plot_and_compare(afl_sim: Command, tmp_path: Path, finished: Finished) -> None:
    runs = (finished.full, finished.timing, finished.other)
    before = everything_in(finished.full)
    plot = ("plot", *runs, "--out", "drawn")
    some, timed, table = afl_sim.batch(
        [
            (*plot, "--figure", "staleness", "--figure", "accuracy", "--format", "svg,pdf"),
            ("plot", finished.timing, "--out", "timed"),
            ("compare", *runs, "--out", "table"),
        ]
    )
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "drawn").iterdir()}
    assert set(drawn) == {"staleness.svg", "staleness.pdf", "accuracy.svg", "accuracy.pdf"}
    assert drawn["staleness.pdf"].startswith(b"%PDF")
    assert b"<svg" in drawn["accuracy.svg"]
    assert [line.split(": ")[0] for line in some.succeeded().out.splitlines()] == [
        "staleness",
        "accuracy",
    ]
    # Without training there is no accuracy; the figure says so, the others are drawn.
    assert "accuracy: not drawn: " in timed.succeeded().out
    assert {path.name for path in (tmp_path / "timed").iterdir()} == {
        "heterogeneity.png",
        "stragglers.png",
        "staleness.png",
        "staleness-speed.png",
        "staleness-time.png",
        "timeline.png",
    }
    with (tmp_path / "table" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["updates"] for row in rows] == ["10"] * 3
    accuracies = [row["final_accuracy"] for row in rows]
    assert float(accuracies[0]) == load_run(finished.full).summary["final"]["accuracy"]
    assert accuracies[1] == ""
    assert "final accuracy (%)" in table.succeeded().out
    assert (tmp_path / "table" / "comparison.md").read_text().startswith("| ")
    assert everything_in(finished.full) == before


def test_evaluations_go_to_tensorboard_where_it_is_asked_for(
    afl_sim: Command, tmp_path: Path, finished: Finished
) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        pytest.skip("the extra is not installed")
    (result,) = afl_sim.batch([("run", SMALLEST, *QUICK, "--out", "run", "--tensorboard")])
    result.succeeded()
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
    assert digests(tmp_path / "run") == digests(finished.full)


def test_a_report_is_written_where_it_is_wanted(
    afl_sim: Command, tmp_path: Path, finished: Finished
) -> None:
    before = everything_in(finished.timing)
    one, deep, blocked, two, nowhere = afl_sim.batch(
        [
            ("report", finished.timing, "--out", "page.html"),
            ("report", finished.timing, "--out", "new/folder/page.html"),
            ("report", finished.timing, "--out", "page.html/page.html"),
            ("report", finished.timing, finished.full, "--out", "page.html"),
            ("report", "nowhere"),
        ]
    )
    assert one.succeeded().out == "report: page.html\n"
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert everything_in(finished.timing) == before
    assert deep.succeeded().out == "report: new/folder/page.html\n"
    assert (blocked.code, two.code, nowhere.code) == (2, 2, 2)
    assert blocked.errors == ["cannot make the folder page.html: a file with that name exists"]
    assert "--out names a single file" in two.errors[0]
    assert "nowhere" in nowhere.errors[0]


def test_damaged_and_missing_runs_are_told(
    afl_sim: Command, tmp_path: Path, finished: Finished
) -> None:
    damages = {
        "events": ("events.parquet", lambda content: content[:-100]),
        "summary": ("summary.json", lambda content: content[: len(content) // 2]),
        "scenario": ("scenario.yaml", lambda content: b"\0" + content),
        "gone": ("events.parquet", lambda content: None),
    }
    for name, (file, damage) in damages.items():
        shutil.copytree(finished.full, tmp_path / name)
        content = damage((tmp_path / name / file).read_bytes())
        if content is None:
            (tmp_path / name / file).unlink()
        else:
            (tmp_path / name / file).write_bytes(content)
    (tmp_path / "empty").mkdir()
    lines = [("diff", name, finished.full) for name in damages]
    lines += [("diff", finished.full, name) for name in ("nowhere", "empty")]
    lines += [(command, name) for command in ("plot", "compare") for name in ("nowhere", "empty")]
    lines += [("plot", finished.full, "--out", "x", "--figure", "acuracy")]
    lines += [("plot", finished.full, "--out", "x", "--figure", "timeline", "--format", "bmp")]
    results = afl_sim.batch(lines)
    for line, result in zip(lines, results, strict=True):
        assert (line, result.code) == (line, 2)
        assert len(result.errors) == 1, line
    for result, (file, _) in zip(results, damages.values(), strict=False):
        assert file in result.errors[0]
    for result, name in zip(results[4:], ("nowhere", "empty") * 3, strict=False):
        assert name in result.errors[0]
    assert "did you mean 'accuracy'?" in results[-2].errors[0]
    assert "'bmp'" in results[-1].errors[0]


def test_a_reused_run_that_is_damaged_is_told_and_kept(afl_sim: Command, tmp_path: Path) -> None:
    line = ("run", SMALLEST, *QUICK, "--timing-only")
    afl_sim.batch([line])
    (run,) = (tmp_path / "runs").iterdir()
    (run / "summary.json").write_text("{")
    before = everything_in(tmp_path)
    (result,) = afl_sim.batch([line])
    assert result.code == 2
    assert str(run.relative_to(tmp_path)) in result.errors[0]
    assert everything_in(tmp_path) == before


def test_resume_leaves_a_finished_run_alone_and_needs_a_run(
    afl_sim: Command, tmp_path: Path, finished: Finished
) -> None:
    before = everything_in(finished.full)
    (tmp_path / "empty").mkdir()
    done, nowhere, empty, wrong = afl_sim.batch(
        [
            ("resume", finished.full),
            ("resume", "nowhere"),
            ("resume", "empty"),
            ("run", SMALLEST, "--executor", "threads"),
        ]
    )
    assert done.succeeded().out == f"{finished.full} is finished\n"
    assert everything_in(finished.full) == before
    assert [result.code for result in (nowhere, empty, wrong)] == [2] * 3
    assert "nowhere" in nowhere.errors[0]
    assert "empty" in empty.errors[0]
    assert "execution.executor" in wrong.errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_show_prints_who_holds_which_samples(afl_sim: Command, tmp_path: Path) -> None:
    (tmp_path / "skewed.yaml").write_text(
        SMALLEST.read_text().replace("{kind: iid, samples: 100}", "{kind: shards, per_client: 2}")
    )
    (shown,) = afl_sim.batch([("validate", "skewed.yaml", SMALLEST, "--show")])
    first, second = re.split(r"^.*smallest\.yaml: ok", shown.succeeded().out, flags=re.MULTILINE)
    assert first.startswith("skewed.yaml: ok, 1 run\n")
    for table, total in ((first, 60_000), (second, 1_000)):
        rows = [
            [int(cell.replace("·", "0")) for cell in re.findall(r"[\d·]+", line)]
            for line in table.splitlines()
            if re.match(r"│ +\d", line)
        ]
        assert [row[0] for row in rows] == list(range(10))
        assert all(row[1] == sum(row[2:]) for row in rows)
        assert sum(row[1] for row in rows) == total
        assert all(len(row) == 12 for row in rows)
        assert "…" not in table
        bars = re.findall(r"^ +(\d+)  (█+) ([\d,]+) +([▁-█·]{10})", table, flags=re.MULTILINE)
        assert [int(client) for client, *_ in bars] == list(range(10))
        for (_, length, size, mix), row in zip(bars, rows, strict=True):
            assert int(size.replace(",", "")) == row[1]
            assert len(length) == 16 * row[1] // max(row[1] for row in rows)
            assert [sign != "·" for sign in mix] == [count > 0 for count in row[2:]]
