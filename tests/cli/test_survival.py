"""Nothing is lost: whatever ends a run early, `resume` comes to the undisturbed digests."""

from __future__ import annotations

import math
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from commands import Command, digests, leftovers, summary
from places import SMALLEST
from survival import Started, mount, version

from afl_sim import load_run, load_scenario, simulate

STRATEGIES = {
    "fedbuff": "{kind: fedbuff, concurrency: 5, buffer_size: 3}",
    "quafl": "{kind: quafl, clients_per_round: 3, local_steps: 10, interaction_seconds: 0.5}",
    "guided": "{kind: fedbuff, concurrency: 5, buffer_size: 3}",
}
SELECTION = {"guided": ("server.selection=oort",)}
BASE = ("model=lenet", "evaluation.samples=200", "evaluation.every_versions=5")
PROCESSES = (
    "--executor",
    "processes",
    "--workers",
    "2",
    "--set",
    "execution.checkpoint_versions=1",
)


def settings(strategy: str, updates: int) -> list[str]:
    chosen = SELECTION.get(strategy, ())
    return [*BASE, f"strategy={STRATEGIES[strategy]}", f"stop.updates={updates}", *chosen]


def as_options(chosen: list[str]) -> list[str]:
    return [part for setting in chosen for part in ("--set", setting)]


@cache
def undisturbed(strategy: str, updates: int) -> tuple[str, str | None]:
    """The digests of a run that nothing happens to, in one process."""
    run = simulate(load_scenario(SMALLEST, settings(strategy, updates)))
    return run.summary["schedule_digest"], run.summary["model_digest"]


def assert_whole(run: Path, expected: tuple[str, str | None]) -> None:
    assert summary(run)["status"] == "complete"
    assert digests(run) == expected
    assert leftovers(run) == []
    assert {entry.name for entry in run.iterdir() if entry.name.startswith(".")} == set()
    assert not (run / "checkpoint").exists()


@pytest.mark.parametrize(
    ("strategy", "kills"),
    [
        ("fedbuff", 2),
        pytest.param("guided", 2, marks=pytest.mark.slow),
        pytest.param("fedbuff", 10, marks=pytest.mark.slow),
        pytest.param("quafl", 10, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_killed_again_and_again_comes_to_the_same_digests(
    afl_sim: Command, tmp_path: Path, strategy: str, kills: int
) -> None:
    run = tmp_path / "run"
    rng = random.Random(f"{strategy}/{kills}")
    updates = 15 * (kills + 2)
    line = ("run", SMALLEST, *as_options(settings(strategy, updates)), *PROCESSES)
    started = Started.start(afl_sim, *line, "--out", "run")
    started.wait_until((run / "scenario.yaml").exists)
    for kill in range(kills):
        if kill % 2 == 1:  # perhaps before it has begun, and never after it has ended
            ends, goal = time.monotonic() + rng.uniform(0.1, 2.5), version(run) + 3
            started.wait_until(
                lambda ends=ends, goal=goal: time.monotonic() >= ends or version(run) >= goal
            )
        else:
            goal = version(run) + rng.randint(1, 4)
            started.wait_until(lambda goal=goal: version(run) >= goal)
            time.sleep(rng.uniform(0, 0.05))
        started.kill()
        assert load_run(run).status == "unfinished"
        started = Started.start(afl_sim, "resume", "run")
    started.end()
    assert_whole(run, undisturbed(strategy, updates))
    assert len(load_run(run).manifest["resumed"]) in range(1, kills + 1)


def test_a_killed_worker_and_a_second_process_disturb_nothing(
    afl_sim: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    line = ("run", SMALLEST, *as_options(settings("quafl", 60)), *PROCESSES, "--out", "run")
    started = Started.start(afl_sim, *line)
    started.wait_until(lambda: version(run) >= 2)
    os.kill(started.workers()[0], signal.SIGKILL)
    os.kill(started.process.pid, signal.SIGSTOP)  # it holds the folder, and does not end too soon
    try:
        results = afl_sim.batch([("resume", "run"), (*line, "--resume"), line])
    finally:
        os.kill(started.process.pid, signal.SIGCONT)
    for result in results:
        assert result.code == 2
    for result in results[:2]:
        assert result.errors == [f"another process is writing to {run}"]
    assert "already holds a run" in results[2].errors[0]
    started.end()
    assert_whole(run, undisturbed("quafl", 60))


def test_workers_start_where_the_temporary_folder_is_too_deep_for_a_socket(
    afl_sim: Command, tmp_path: Path
) -> None:
    chosen = settings("fedbuff", 12)
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    line = ("run", SMALLEST, *as_options(chosen), *PROCESSES, "--out", "run")
    afl_sim(*line, TMPDIR=str(deep)).succeeded()
    assert_whole(tmp_path / "run", simulated(chosen))


def errors_in(err: str) -> list[str]:
    """The error messages among the lines of stderr, beside progress and how to continue."""
    lines = [
        line
        for line in err.splitlines()
        if " virtual " not in line and not line.startswith("to continue")
    ]
    assert all(line.startswith("error: ") for line in lines), err
    return [line.removeprefix("error: ") for line in lines]


HUNGRY = """
import torch

STEPS = []

class Hungry(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(784, 10)

    def forward(self, images):
        STEPS.append(self.training)  # of all tasks: what the model itself keeps begins anew
        if sum(STEPS) > 40:
            torch.empty(1 << 46)
        return self.layer(images.flatten(1))
"""


def test_a_worker_without_memory_is_one_clear_error(afl_sim: Command, tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    model = ("--set", "model={kind: 'hungry:Hungry'}")
    started = Started.start(afl_sim, "run", SMALLEST, *model, *PROCESSES, "--out", "run")
    _, err = started.end(1)
    (message,) = errors_in(err)
    assert "not enough memory for client " in message
    assert "fewer --workers" in message
    go_on = "to continue, if a disk, memory or a worker was the cause: afl-sim resume run"
    assert go_on in err.splitlines()
    run = load_run(tmp_path / "run")
    assert (run.status, run.summary["reason"]) == ("failed", message)


def test_ctrl_c_twice_stops_at_once_and_loses_nothing(afl_sim: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    long = [  # a version takes a second
        "training.epochs=500",
        "strategy={kind: fedavg, clients_per_round: 4}",
        "stop.versions=2",
        "evaluation.samples=200",
    ]
    line = ("run", SMALLEST, *as_options(long), *PROCESSES, "--out", "run")
    started = Started.start(afl_sim, *line)
    started.wait_until(lambda: version(run) >= 1)
    started.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    started.process.send_signal(signal.SIGINT)
    _, err = started.end(130)
    assert err.splitlines()[-1] == "error: interrupted"
    assert "a second signal stops at once" in err
    assert summary(run)["status"] == "interrupted"
    assert leftovers(tmp_path) == []
    afl_sim("resume", "run").succeeded()
    assert_whole(run, simulated(long))


def test_a_terminal_that_is_closed_leaves_a_checkpoint(afl_sim: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    endless = ("--set", "stop.updates=100000000")
    started = Started.start(afl_sim, "run", SMALLEST, *endless, *PROCESSES, "--out", "run")
    started.wait_until(lambda: version(run) >= 1)
    for process in started.session():  # the workers get the signal, too
        os.kill(process, signal.SIGHUP)
    _, err = started.end(130)
    assert err.splitlines()[-1] == "error: interrupted"
    assert summary(run)["status"] == "interrupted"
    assert version(run) == summary(run)["versions"]


def simulated(chosen: list[str]) -> tuple[str, str | None]:
    run = simulate(load_scenario(SMALLEST, chosen))
    return run.summary["schedule_digest"], run.summary["model_digest"]


# -- a full disk ---------------------------------------------------------------------------------

SMALL = ["stop.updates=10", "evaluation.samples=200"]
LAST = ("events.parquet", "metrics.parquet", "model.safetensors", "trace.json", "summary.json")
PAGE = resource.getpagesize()


def pages(path: Path) -> int:
    return math.ceil(path.stat().st_size / PAGE)


@pytest.fixture
def disks(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Small disks, on each of which another file lacks a page, and one for a checkpoint."""
    whole = simulate(load_scenario(SMALLEST, SMALL), tmp_path_factory.mktemp("whole") / "run").path
    first = ("scenario.yaml", "manifest.json", "partition.parquet")
    room = sum(pages(whole / name) for name in first)
    sizes = {"checkpoint": room + 7}
    for name in LAST:
        sizes[name] = room + pages(whole / name) - 1
        room += pages(whole / name)
    made: dict[str, Path] = {}
    try:
        for name, size in sizes.items():
            made[name] = tmp_path / name
            if not mount(made[name], size * PAGE):
                del made[name]
                pytest.skip("no file system may be mounted here")
        yield made
    finally:
        for disk in made.values():
            subprocess.run(["umount", str(disk)], check=True)


def test_on_a_full_disk_nothing_is_lost_that_was_there(
    afl_sim: Command, disks: dict[str, Path]
) -> None:
    checkpoints = ("--set", "execution.checkpoint_versions=1")
    lines = [
        ("run", SMALLEST, *as_options(SMALL), "--out", disk / "run")
        + (checkpoints if name == "checkpoint" else ())
        for name, disk in disks.items()
    ]
    results = afl_sim.batch(lines)
    statuses = []
    for (name, disk), result in zip(disks.items(), results, strict=True):
        assert result.code == 1, (name, result)
        (message,) = errors_in(result.err)
        assert f"{disk / 'run'}/{name}" in message
        assert message.endswith("the disk is full")
        assert leftovers(disk) == []
        run = load_run(disk / "run")
        if shutil.disk_usage(disk).free or run.summary:
            assert (run.status, run.summary["reason"]) == ("failed", message)
        else:
            assert run.status == "unfinished"  # there was no room to say more
        statuses.append(run.status)
    assert statuses.count("failed") >= 3
    for disk in disks.values():
        assert mount(disk, 1 << 20, again=True)
    for result in afl_sim.batch([("resume", disk / "run") for disk in disks.values()]):
        result.succeeded()
    expected = simulated(SMALL)
    for disk in disks.values():
        assert_whole(disk / "run", expected)
