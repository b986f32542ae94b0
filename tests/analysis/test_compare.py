"""The comparison of runs: its numbers, its table on a console and its files."""

import io
from dataclasses import replace

import pandas as pd
import pytest
from fake_runs import fake_run
from rich.console import Console
from steady import steady_state

from afl_sim import load_scenario, simulate
from afl_sim.analysis import comparison, print_comparison, write_comparison
from afl_sim.analysis.measures import measurements
from afl_sim.analysis.metrics import has_metric
from afl_sim.recording import RunFolder, load_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [
        fake_run(folder / "fedavg", label="fedavg", strategy="fedavg", updates=60, tau=1000.0),
        fake_run(folder / "fedbuff", label="fedbuff", updates=60, tau=3.0),
        fake_run(folder / "clock", label="clock", training=False, updates=60),
    ]


@pytest.fixture
def unfinished(tmp_path):
    RunFolder.create(tmp_path / "u", "name: u\nstrategy: {kind: fedasync}\n", {})
    return load_run(tmp_path / "u")


def printed(runs, width=100, **options):
    console = Console(file=io.StringIO(), width=width)
    print_comparison(runs, console=console, **options)
    return console.file.getvalue()


def test_the_table_holds_what_the_summaries_say(runs):
    frame = comparison(runs).set_index("run")
    summary = runs[1].summary
    row = frame.loc["fedbuff"]
    assert row["seconds_to_0.9"] == summary["time_to_accuracy"]["0.9"]
    assert row["final_accuracy"] == summary["final"]["accuracy"]
    assert row["versions"] == summary["versions"]
    assert row["updates"] == summary["updates"]["aggregated"]
    assert row["mean_staleness"] == summary["staleness"]["mean"]
    assert row["max_staleness"] == summary["staleness"]["max"]
    assert row["idle_fraction"] == summary["idle_fraction"]
    assert row["virtual_seconds"] == summary["virtual_seconds"]
    assert pd.isna(frame.loc["fedavg", "seconds_to_0.95"])
    assert pd.isna(frame.loc["clock", "final_accuracy"])


def test_runs_that_train_nothing_have_no_row_of_accuracy(runs):
    (found,) = (run for run in runs if run.label == "clock")
    clock = [replace(found, manifest={**found.manifest, "timing_only": True})]
    assert "final_accuracy" not in comparison(clock)
    assert "accuracy" not in printed(clock)


def test_a_run_without_training_has_no_metric_and_its_table_is_not_read(runs):
    (found,) = (run for run in runs if run.label == "clock")
    clock = replace(found, manifest={**found.manifest, "timing_only": True})
    assert not has_metric(clock, "accuracy")
    assert "metrics" not in vars(clock)


def test_settings_that_a_study_has_not_begun_are_listed_as_such(runs, tmp_path):
    text = printed(runs[:2], not_begun=["fedasync", "quafl"])
    assert [line.split() for line in text.splitlines() if "not begun" in line] == [
        ["status", "complete", "complete", "not", "begun", "not", "begun"]
    ]
    assert "fedasync" in text
    assert "quafl" in text
    assert "strategy" not in text  # those that have begun are named for it
    print_comparison(runs[:2], tmp_path, Console(file=io.StringIO()), not_begun=["quafl"])
    table = pd.read_csv(tmp_path / "comparison.csv").set_index("run")
    assert table.loc["quafl", "status"] == "not begun"
    assert table.loc["quafl"].drop("status").isna().all()
    seeds = [fake_run(tmp_path / f"r{n}", label=f"r{n}", seed=n, updates=20) for n in (1, 2)]
    assert "Not begun: r3, r4.\n" in printed(seeds, not_begun=["r3", "r4"])


@pytest.mark.parametrize("queue", ["none", "fifo"])
def test_measuring_a_run_does_not_keep_its_events(queue):
    settings = [f"clients.queue={queue}", "strategy.concurrency=9", "recording.trace=false"]
    run = simulate(load_scenario("scenarios/smallest.yaml", settings), timing_only=True)
    found = measurements(run)
    assert "events" not in vars(run)
    assert (run.events["kind"] == "queued").any() == (queue == "fifo")
    expected = steady_state(run.events)
    assert expected["steady_utilisation"] > 0
    assert {name: found[name] for name in expected} == expected


def test_targets_of_different_runs_are_put_side_by_side(runs, tmp_path):
    other = fake_run(tmp_path / "other", targets=(0.5, 0.9), updates=20)
    columns = [name for name in comparison([runs[1], other]) if name.startswith("seconds_to_")]
    assert columns == ["seconds_to_0.5", "seconds_to_0.9", "seconds_to_0.95"]


def test_what_is_printed_has_units_and_says_what_was_not_reached(runs):
    text = printed(runs)
    lines = {line[:26].strip(): line[26:].split() for line in text.splitlines() if line.strip()}
    assert lines["versions"][0] == str(runs[0].summary["versions"])
    assert "not reached" in next(line for line in text.splitlines() if "90 % (s)" in line)
    assert lines["final accuracy (%)"] == [
        f"{100 * runs[0].summary['final']['accuracy']:.2f}",
        f"{100 * runs[1].summary['final']['accuracy']:.2f}",
        "-",
    ]
    assert "mean staleness (versions)" in text
    assert "idle fraction (%)" in text
    assert "status" not in text


def test_a_narrow_console_gets_further_tables_and_loses_nothing(runs):
    text = printed(runs, width=50)
    assert max(map(len, text.splitlines())) <= 50
    assert text.count("max staleness (versions)") == 2
    for run in runs:
        assert run.label in text
        assert f"{run.summary['virtual_seconds']:,.1f}" in text


def test_long_names_are_folded_not_cut(tmp_path):
    name = "fedasync-with-hinge-staleness-a10-b4-and-a-proximal-term"
    run = fake_run(tmp_path / "a", label=name, updates=20)
    text = printed([run], width=80)
    head = text[: text.index("─")]
    assert "".join(head.split()) == name


def test_names_with_brackets_are_printed_as_they_are(tmp_path):
    run = fake_run(tmp_path / "a", label="alpha=[bold]0.6", updates=20)
    assert "alpha=[bold]0.6" in printed([run])


def test_runs_of_one_label_are_told_apart_by_their_folders(runs, tmp_path):
    twin = fake_run(tmp_path / "twin", label="fedbuff", updates=20)
    assert comparison([runs[1], twin])["run"].tolist() == ["fedbuff (fedbuff)", "fedbuff (twin)"]


def test_a_run_that_has_not_ended_has_a_status_and_no_numbers(runs, unfinished):
    frame = comparison([runs[0], unfinished])
    assert frame["status"].tolist() == ["complete", "unfinished"]
    assert pd.isna(frame["versions"].iloc[1])
    assert "unfinished" in printed([runs[0], unfinished])


def test_the_files_hold_the_same_table(runs, tmp_path):
    folder = tmp_path / "new" / "folder"
    printed(runs, folder=folder)
    read = pd.read_csv(folder / "comparison.csv")
    frame = comparison(runs)
    assert read.columns.tolist() == frame.columns.tolist()
    assert read["final_accuracy"].iloc[1] == frame["final_accuracy"].iloc[1]
    markdown = (folder / "comparison.md").read_text().splitlines()
    assert len(markdown) == 2 + len(runs)
    assert markdown[0].startswith("| run | strategy | time to 90 % (s) |")
    assert all(line.count("|") == markdown[0].count("|") for line in markdown)
    assert write_comparison(frame, folder) == tuple(
        folder / f"comparison.{suffix}" for suffix in ("csv", "md", "tex")
    )
