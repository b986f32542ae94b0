"""`afl-sim run` of a single scenario: what it leaves, prints, reuses and refuses."""

from __future__ import annotations

from pathlib import Path

import yaml
from commands import QUICK, Command, digests, leftovers, summary
from finished import Finished
from places import SMALLEST
from run_checks import everything_in

from afl_sim import load_run

FILES = {
    "scenario.yaml",
    "manifest.json",
    "events.parquet",
    "metrics.parquet",
    "partition.parquet",
    "summary.json",
    "model.safetensors",
    "trace.json",
}


def test_a_run_folder_holds_every_file_and_nothing_temporary(finished: Finished) -> None:
    assert {path.name for path in finished.full.iterdir()} == FILES | {"figures", "report.html"}
    assert {path.name for path in finished.other.iterdir()} == FILES
    assert {path.name for path in finished.timing.iterdir()} == FILES - {"model.safetensors"}
    assert leftovers(finished.full.parent) == []
    assert not list(finished.full.parent.glob(".*"))


def test_the_summary_has_every_figure(finished: Finished) -> None:
    found = summary(finished.full)
    assert found["name"] == "smallest"
    assert found["status"] == "complete"
    assert found["virtual_seconds"] > 0
    assert found["versions"] == 2
    assert set(found["final"]) == {"accuracy", "loss"}
    assert set(found["time_to_accuracy"]) == {"0.9", "0.95"}
    assert set(found["staleness"]) == {"mean", "p50", "p95", "max"}
    assert 0 <= found["idle_fraction"] < 1
    assert set(found["wall_seconds"]) == {"total", "training", "evaluation", "waiting"}
    assert found["samples_trained"] == 1000
    assert found["numerics"]["class"] == "exact/float32/cpu/portable"
    assert all(len(digest or "") == 64 for digest in digests(finished.full))
    assert summary(finished.timing)["model_digest"] is None
    assert summary(finished.timing)["final"] == {"accuracy": None, "loss": None}


def test_no_update_is_lost_from_the_counts(finished: Finished) -> None:
    for run in (finished.full, finished.timing, finished.other):
        counts = summary(run)["updates"]
        assert set(counts) == {
            "dispatched",
            "arrived",
            "aggregated",
            "discarded",
            "buffered",
            "failed",
            "cancelled",
            "in_flight",
        }
        ends = ("arrived", "failed", "cancelled", "in_flight")
        assert counts["dispatched"] == sum(counts[name] for name in ends)
        fates = ("aggregated", "discarded", "buffered")
        assert counts["arrived"] == sum(counts[name] for name in fates)
        assert counts["aggregated"] == 10


def test_the_printed_table_says_what_the_summary_says(finished: Finished) -> None:
    printed = finished.results["full"]
    found = summary(finished.full)
    rows = dict(line.rsplit(maxsplit=1) for line in printed.out.splitlines() if "(" in line)
    rows = {name.strip(): value for name, value in rows.items()}
    assert rows["final accuracy (%)"] == f"{100 * found['final']['accuracy']:.2f}"
    assert rows["mean staleness (versions)"] == f"{found['staleness']['mean']:.2f}"
    assert rows["max staleness (versions)"] == str(found["staleness"]["max"])
    assert rows["idle fraction (%)"] == f"{100 * found['idle_fraction']:.1f}"
    assert rows["virtual time (s)"] == f"{found['virtual_seconds']:.1f}"
    assert f"results: {finished.full}" in printed.out
    assert printed.err.splitlines()[-1].startswith("smallest: complete in ")


def test_plot_draws_every_figure_that_the_run_can_supply(finished: Finished) -> None:
    figures = finished.full / "figures"
    assert {path.stem for path in figures.iterdir()} == {
        "accuracy",
        "learning",
        "time-to-accuracy",
        "class-accuracy",
        "fairness",
        "heterogeneity",
        "stragglers",
        "staleness",
        "staleness-speed",
        "staleness-time",
        "timeline",
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in figures.iterdir())


def test_the_resolved_scenario_gives_the_same_run(finished: Finished) -> None:
    assert digests(finished.again) == digests(finished.full)
    resolved = (finished.full / "scenario.yaml").read_text()
    assert (finished.again / "scenario.yaml").read_text() == resolved
    assert yaml.safe_load(resolved)["stop"]["updates"] == 10  # as `--set` had it


def test_without_training_the_schedule_is_the_same(finished: Finished) -> None:
    assert digests(finished.timing)[0] == digests(finished.full)[0]
    assert load_run(finished.timing).metrics.empty
    assert load_run(finished.timing).manifest["timing_only"] is True


def test_another_seed_gives_another_schedule_and_another_model(finished: Finished) -> None:
    for one, two in zip(digests(finished.other), digests(finished.full), strict=True):
        assert one != two
    assert yaml.safe_load((finished.other / "scenario.yaml").read_text())["seed"] == 2


def test_the_manifest_has_the_command_line(finished: Finished) -> None:
    command = load_run(finished.full).manifest["command"]
    assert command[1:3] == ["run", str(SMALLEST)]
    assert "--plot" in command


def test_a_finished_run_is_reused_until_it_is_forced(afl_sim: Command, tmp_path: Path) -> None:
    line = ("run", SMALLEST, "--timing-only", "--set", "stop.updates=5")
    # Another scenario is another folder, and a run with training is not one without.
    changed = (*line[:-1], "stop.updates=6")
    trained = ("run", SMALLEST, "--set", "stop.updates=5", "--set", "evaluation.samples=10")
    results = afl_sim.batch([line, line, (*line, "--force"), changed, trained])
    said = [result.succeeded().err.rpartition(" in ")[0] or result.err for result in results]
    reused = "smallest: finished before, reused\n"
    complete = "smallest: complete"
    assert said == [complete, reused, complete, complete, complete]
    folders = [result.out.rpartition("results: ")[2].strip() for result in results]
    assert len(set(folders[:3])) == 1
    assert len(set(folders)) == 3
    assert sorted(folders[2:]) == sorted(
        f"runs/{name.name}" for name in (tmp_path / "runs").iterdir()
    )
    assert results[1].out == results[0].out


def test_an_output_folder_in_use_is_refused_and_untouched(afl_sim: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    before = everything_in(tmp_path)
    places = ("mine", "file", "file/below/it", "/proc/nowhere")
    lines = [("run", SMALLEST, *QUICK, "--out", place) for place in places]
    lines.append(("run", SMALLEST, *QUICK, "--force", "--out", "mine"))
    results = afl_sim.batch(lines)
    assert [result.code for result in results] == [2] * 5
    messages = [result.errors for result in results]
    assert [len(message) for message in messages] == [1] * 5
    for place, message in zip((*places, "mine"), messages, strict=True):
        assert place in message[0]
    assert "not empty" in messages[0][0]
    assert everything_in(tmp_path) == before


def test_a_finished_run_is_not_overwritten_without_force(
    afl_sim: Command, finished: Finished
) -> None:
    before = everything_in(finished.full)
    (result,) = afl_sim.batch([("run", SMALLEST, *QUICK, "--out", finished.full)])
    assert result.code == 2
    assert result.out == ""
    assert "already holds a run" in result.errors[0]
    assert everything_in(finished.full) == before


def test_a_run_without_training_says_that_it_ignores_an_accuracy(
    afl_sim: Command, tmp_path: Path
) -> None:
    rules = ("--set", "stop={updates: 5, accuracy: 0.9}", "--timing-only", "--out", tmp_path / "a")
    (result,) = afl_sim.batch([("run", SMALLEST, *rules)])
    first, last = result.succeeded().err.splitlines()
    assert first == "stop.accuracy is ignored: with --timing-only nothing is trained"
    assert last.startswith("smallest: complete")
    assert summary(tmp_path / "a")["stopped_by"] == "updates"
