"""Settings compared over replications: what is said, and what must not be."""

import csv
import io
import math
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from scipy.stats import t

from afl_sim.analysis import print_comparison
from afl_sim.analysis.intervals import differences, interval_cell, intervals, sentences
from afl_sim.analysis.replications import groups, told_apart
from afl_sim.errors import InputError
from afl_sim.recording.recorded_run import Run


def finished(tmp_path, strategy, seed, time, accuracy=0.9, status="complete", targets=("0.95",)):
    """A run of which only the summary matters; its events hold nothing."""
    path = tmp_path / f"{strategy}-r{seed}"
    summary = {
        "status": status,
        "virtual_seconds": 1000.0,
        "versions": 10,
        "updates": {"aggregated": 100, "in_flight": 7},
        "final": {"accuracy": accuracy},
        "time_to_accuracy": dict.fromkeys(targets, time),
        "staleness": {"mean": 1.5, "max": 4},
        "idle_fraction": 0.25,
    }
    scenario = {"name": "hand", "seed": seed, "strategy": {"kind": strategy}}
    run = Run(path, "hand", path.name, scenario, summary, {})
    events = pd.DataFrame({"time_us": [0], "staleness": [pd.NA]})
    events["kind"] = pd.Categorical(["evaluated"])
    object.__setattr__(run, "events", events)
    return run


def study(tmp_path, **times):
    return [
        finished(tmp_path, strategy, seed, time)
        for strategy, column in times.items()
        for seed, time in enumerate(column)
    ]


def row_of(frame, setting, measure="seconds_to_0.95"):
    rows = frame[(frame["setting"] == setting) & (frame["measure"] == measure)]
    (row,) = rows.to_dict("records")
    return row


def test_a_difference_is_paired_and_said_in_a_sentence(tmp_path):
    fedavg = [900.0, 950.0, 1000.0]
    fedbuff = [500.0, 540.0, 570.0]  # 400, 410 and 430 s earlier
    found = differences(groups(study(tmp_path, fedavg=fedavg, fedbuff=fedbuff)))
    (row,) = found[found["measure"] == "seconds_to_0.95"].to_dict("records")
    mean = -1240 / 3
    deviation = math.sqrt(sum((d - mean) ** 2 for d in (-400, -410, -430)) / 2)
    half = t.ppf(0.975, 2) * deviation / math.sqrt(3)
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(
        (mean, mean - half, mean + half)
    )
    # Far narrower than what the two means by themselves would allow.
    assert half < 40
    assert row["sentence"] == (
        "fedbuff reaches 95 % 413 s earlier than fedavg, 95 % CI [375, 451], n=3"
    )


def test_a_difference_that_may_be_none_is_said_to_be_so(tmp_path):
    found = differences(groups(study(tmp_path, fedavg=[10.0, 20.0], fedbuff=[15.0, 16.0])))
    sentence = sentences(found)[0]
    assert sentence.startswith("fedbuff reaches 95 % 0.5 s later than fedavg, 95 % CI [-56.7, ")
    assert sentence.endswith("n=2 (not told apart)")


def test_equal_runs_are_equal_and_one_pair_has_no_interval(tmp_path):
    found = differences(groups(study(tmp_path, fedavg=[10.0], fedbuff=[10.0])))
    assert sentences(found) == [
        "fedbuff-r0 and fedavg-r0 reach 95 % at the same time, n=1, too few for an interval",
        "fedbuff-r0 and fedavg-r0 end equally accurate, n=1, too few for an interval",
    ]


def test_accuracy_differs_in_percentage_points(tmp_path):
    runs = [
        finished(tmp_path, kind, seed, 1.0, accuracy)
        for kind, values in {"fedavg": (0.90, 0.91), "fedbuff": (0.85, 0.86)}.items()
        for seed, accuracy in enumerate(values)
    ]
    found = differences(groups(runs))
    (row,) = found[found["measure"] == "final_accuracy"].to_dict("records")
    assert row["difference"] == pytest.approx(-0.05)
    assert row["sentence"].startswith(
        "fedbuff ends 5.00 percentage points less accurate than fedavg, 95 % CI [5.00, 5.00], n=2"
    )


def test_there_is_no_mean_over_the_runs_that_reached_a_target(tmp_path):
    members = groups(study(tmp_path, fedavg=[10.0, None, 30.0], fedbuff=[5.0, 6.0, 7.0]))
    found = intervals(members, ["seconds_to_0.95"])
    lucky = row_of(found, "fedavg")
    assert math.isnan(lucky["mean"])
    assert (lucky["n"], lucky["runs"], lucky["median"]) == (2, 3, 30.0)
    assert interval_cell(lucky) == "median 30.0 (reached in 2 of 3)"
    assert interval_cell(row_of(found, "fedbuff")) == "6.0 [3.5, 8.5]"
    (sentence, *_) = sentences(differences(members))
    assert sentence == (
        "fedbuff reaches 95 % in 3 of 3 runs and fedavg in 2 of 3; "
        "fedbuff is first in 3 of 3 pairs, fedavg in 0"
    )


def test_half_reached_has_no_median_and_none_reached_is_said(tmp_path):
    members = groups(study(tmp_path, fedavg=[10.0, None], fedbuff=[None, None]))
    found = intervals(members, ["seconds_to_0.95"])
    assert interval_cell(row_of(found, "fedavg")) == "reached in 1 of 2"
    assert interval_cell(row_of(found, "fedbuff")) == "not reached"
    row = differences(members).iloc[0]
    assert math.isnan(row["difference"])
    assert "fedbuff is first in 0 of 2 pairs, fedavg in 1" in row["sentence"]


def test_what_neither_reached_is_said_once(tmp_path):
    found = differences(groups(study(tmp_path, fedavg=[None, None], fedbuff=[None, None])))
    assert sentences(found)[0] == "neither fedbuff nor fedavg reaches 95 % in any of 2 runs"


def test_a_run_that_diverged_gives_no_accuracy_and_is_counted(tmp_path):
    runs = study(tmp_path, fedavg=[10.0, 11.0], fedbuff=[10.0, 11.0])
    runs.append(finished(tmp_path, "fedavg", 2, None, 0.1, status="diverged"))
    found = intervals(groups(runs), ["final_accuracy", "seconds_to_0.95"])
    accuracy = row_of(found, "fedavg", "final_accuracy")
    assert (accuracy["n"], accuracy["runs"], accuracy["complete"]) == (2, 3, 2)
    assert interval_cell(accuracy) == "90.00 [90.00, 90.00] (2 of 3)"
    assert interval_cell(row_of(found, "fedavg")) == "median 11.0 (reached in 2 of 3)"


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_run_that_was_broken_off_says_nothing_of_when_it_would_have_come(tmp_path, status):
    runs = study(tmp_path, fedavg=[10.0, 11.0], fedbuff=[12.0, 13.0, 14.0])
    runs.append(finished(tmp_path, "fedavg", 2, None, 0.1, status=status))
    members = groups(runs)
    row = row_of(intervals(members, ["seconds_to_0.95"]), "fedavg")
    assert (row["mean"], row["n"], row["runs"]) == (10.5, 2, 3)
    sentence = sentences(differences(members))[0]
    assert sentence.startswith("fedbuff reaches 95 % 2 s later than fedavg")
    assert sentence.endswith("n=2")


def test_what_is_not_zero_is_not_written_as_zero(tmp_path):
    runs = [
        finished(tmp_path, kind, seed, 1.0, accuracy)
        for kind, values in {"fedavg": (0.9, 0.9), "fedbuff": (0.90001, 0.90003)}.items()
        for seed, accuracy in enumerate(values)
    ]
    (row,) = differences(groups(runs)).query("measure == 'final_accuracy'").to_dict("records")
    assert "ends 0.002 percentage points more accurate" in row["sentence"]


def printed(runs, **options):
    console = Console(file=io.StringIO(), width=100)
    print_comparison(runs, console=console, **options)
    return console.file.getvalue()


def test_a_study_with_seeds_is_printed_by_setting_with_its_sentences(tmp_path):
    runs = study(tmp_path, fedavg=[900.0, 950.0, 1000.0], fedbuff=[500.0, 540.0, 570.0])
    text = printed(runs, folder=tmp_path / "out")
    assert "fedavg-r0" not in text
    assert "950.0 [825.8, 1,074.2]" in text
    assert "fedbuff reaches 95 % 413 s earlier than fedavg, 95 % CI [375, 451], n=3" in text
    assert "7.0 [7.0, 7.0]" in text  # in flight at the end
    files = {path.name for path in (tmp_path / "out").iterdir()}
    stems = ("comparison", "intervals", "differences")
    assert files == {f"{stem}.{suffix}" for stem in stems for suffix in ("csv", "md", "tex")}
    rows = list(csv.DictReader((tmp_path / "out" / "intervals.csv").open()))
    (row,) = [r for r in rows if (r["setting"], r["measure"]) == ("fedavg", "seconds_to_0.95")]
    assert float(row["mean"]) == 950.0
    assert len(list(csv.DictReader((tmp_path / "out" / "comparison.csv").open()))) == 6


def test_not_reached_is_said_only_of_who_had_the_target_and_came_to_an_end(tmp_path):
    runs = [
        finished(tmp_path, "fedavg", 0, None, targets=("0.9",)),
        finished(tmp_path, "fedbuff", 0, 5.0, targets=("0.95",)),
        finished(tmp_path, "fedasync", 0, None, targets=("0.95",), status="interrupted"),
    ]
    cells = {line.split("  ")[0]: line.split()[-4:] for line in printed(runs).splitlines() if line}
    assert cells["time to 90 % (s)"] == ["not", "reached", "-", "-"]
    assert cells["time to 95 % (s)"][1:] == ["-", "5.0", "-"]


def test_a_comparison_is_printed_as_csv_markdown_or_latex(tmp_path):
    runs = study(tmp_path, fed_avg=[900.0], fedbuff=[None])
    assert [row["run"] for row in csv.DictReader(io.StringIO(printed(runs, form="csv")))] == [
        "fed_avg-r0",
        "fedbuff-r0",
    ]
    assert printed(runs, form="markdown").startswith("| run | strategy | time to 95 % (s) |")
    latex = printed(runs, form="latex").splitlines()
    assert latex[0] == r"\begin{tabular}{l" + "r" * latex[2].count(" & ") + "}"
    assert latex[1] == r"\toprule"
    assert latex[2].startswith(r"run & strategy & time to 95 \% (s)")
    assert latex[4].startswith(r"fed\_avg-r0 & fed\_avg & 900.0")
    assert "not reached" in latex[5]
    assert all(line.endswith(r"\\") for line in (latex[2], latex[4], latex[5]))
    with pytest.raises(InputError, match=r"no form 'html'.*table, csv, markdown or latex"):
        printed(runs, form="html")


def test_two_studies_of_the_same_settings_are_told_apart_by_their_folders(tmp_path):
    runs = [
        *study(tmp_path / "old", fedavg=[900.0, 950.0], fedbuff=[700.0, 800.0]),
        *study(tmp_path / "new", fedavg=[500.0, 540.0], fedbuff=[300.0, 320.0]),
    ]
    text = printed(runs, folder=tmp_path / "out")
    for name, mean in (("fedavg (old)", "925.0"), ("fedavg (new)", "520.0")):
        assert name in text
        assert f"{mean} [" in text
    rows = list(csv.DictReader((tmp_path / "out" / "intervals.csv").open()))
    found = {r["setting"]: float(r["mean"]) for r in rows if r["measure"] == "seconds_to_0.95"}
    assert found == {
        "fedavg (old)": 925.0,
        "fedbuff (old)": 750.0,
        "fedavg (new)": 520.0,
        "fedbuff (new)": 310.0,
    }
    table = list(csv.DictReader((tmp_path / "out" / "comparison.csv").open()))
    assert len({row["run"] for row in table}) == len(table) == 8


def test_labels_are_told_apart_by_the_shortest_end_of_their_folders():
    folders = ["/a/x/one", "/a/y/one", "/b/x/two"]
    labels = told_apart(["s", "s", "t"], [Path(folder) for folder in folders])
    assert labels == ["s (x)", "s (y)", "t"]
    labels = told_apart(["s"] * 3, [Path(folder) for folder in ("/a/x/one", "/b/x/one", "/a/z")])
    assert labels == ["s (a/x/one)", "s (b/x/one)", "s (z)"]
    assert told_apart(["s", "s", "s (x)"], [*map(Path, folders)]) == ["s (x)", "s (y)", "s (x) (2)"]
