"""Whatever file operation of a run is the last, what comes after it makes the run whole."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from file_operations import Cut, Files
from places import SMALLEST, TESTS

from afl_sim.errors import AflSimError
from afl_sim.recording import manifest
from afl_sim.recording.folder import SCENARIO
from afl_sim.recording.replacement import bring_back
from afl_sim.run import api, recorder
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.run.preparation import prepare
from afl_sim.scenario import Case, Scenario, dump_scenario
from afl_sim.study.case import Options, run_case

SMALL = (
    "model=logistic",
    "strategy={kind: fedbuff, concurrency: 3, buffer_size: 2}",
    "stop.updates=6",
    "evaluation={samples: 200, every_versions: 2}",
    "training={steps: 1}",
    "execution.checkpoint_versions=1",
    "recording.trace=false",
)
Act = Callable[[Path], Any]


@cache
def scenario(*settings: str) -> Scenario:
    return load_scenario(SMALLEST, [*SMALL, *settings])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is the same in every run, and changes no file, is done once."""
    gc.freeze()  # so that looking for what a cut has left does not go through all that is imported
    monkeypatch.setattr(api, "prepare", cache(prepare))
    monkeypatch.setattr(api, "load_scenario", lambda path: scenario())
    monkeypatch.setattr(recorder, "dump_scenario", cache(dump_scenario))
    monkeypatch.setattr(manifest, "git_commit", lambda folder: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is cut here
    yield
    gc.unfreeze()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for what tells of times and of how often it was begun."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            content = b""
        elif path.name in {"manifest.json", "summary.json"}:
            other = dict.fromkeys(("resumed", "created", "git_commit", "wall_seconds"))
            content = json.dumps({**json.loads(path.read_text()), **other}).encode()
        else:
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = content
    return found


def digests(run: Any) -> list[Any]:
    keys = ("status", "schedule_digest", "model_digest", "final", "updates")
    return [run.summary[key] for key in keys]


def numbers(done: list[str]) -> Iterator[int]:
    """The operations to try: of the writes to a file in a row the first and the last."""
    for name, group in groupby(enumerate(done), lambda pair: pair[1]):
        found = [number for number, _ in group]
        yield from found if name != "write" else sorted({found[0], found[-1]})


def assert_whole_after_each(
    tmp_path: Path, wrong: str, begin: Act, act: Act, afterwards: Act, undisturbed: Act
) -> None:
    """Break ``act`` off at each operation, and see that ``afterwards`` makes up for it.

    Args:
        begin: makes what is there before.
        act: what is broken off.
        afterwards: what a user does then.
        undisturbed: makes the run as it should be; what is left has to be the same.
    """
    (tmp_path / "as it should be").mkdir()
    expected = digests(undisturbed(tmp_path / "as it should be" / "run"))
    whole = contents(tmp_path / "as it should be")
    (tmp_path / "before").mkdir()
    begin(tmp_path / "before" / "run")
    shutil.copytree(tmp_path / "before", tmp_path / "count")
    counted = Files(tmp_path / "count")
    with counted.watched():
        act(tmp_path / "count" / "run")
    assert len(counted.done) > 15
    for number in numbers(counted.done):
        place = shutil.copytree(tmp_path / "before", tmp_path / str(number))
        files = Files(place, number, wrong)
        with suppress(Cut, AflSimError), files.watched():
            act(place / "run")
        gc.collect()  # files that are still open are locked
        where = f"after {wrong} of {files.done[-1]}, number {number}"
        assert digests(afterwards(place / "run")) == expected, where
        assert contents(place) == whole, where
        shutil.rmtree(place)


def nothing(run: Path) -> None:
    pass


def broken_off(run: Path) -> None:
    """A run that was interrupted at its second version."""
    versions = iter((False, True))
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario(), run, stop_wanted=lambda: next(versions))


def start(run: Path) -> Any:
    return simulate(scenario(), run)


def timed(run: Path) -> Any:
    return simulate(scenario(), run, timing_only=True)


def test_a_run_folder_appears_with_all_that_is_known_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, seen = os.rename, []

    def watch(source: Path, place: Path) -> None:
        seen.append((Path(place).name, sorted(os.listdir(source))))
        rename(source, place)

    monkeypatch.setattr(os, "rename", watch)
    timed(tmp_path / "run")
    assert seen == [("run", ["manifest.json", "partition.parquet", "scenario.yaml"])]


ERROR = pytest.param("error", marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("begin", "wrong"),
    [
        (start, "cut"),
        (start, "error"),
        pytest.param(timed, "cut", marks=pytest.mark.slow),
        pytest.param(timed, "error", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_ends_at_any_operation_is_gone_on_with(
    begin: Act, wrong: str, tmp_path: Path
) -> None:
    def go_on(run: Path) -> Any:
        return resume(run) if (run / SCENARIO).exists() else begin(run)

    assert_whole_after_each(tmp_path, wrong, nothing, begin, go_on, begin)


@pytest.mark.parametrize("wrong", ["cut", ERROR])
def test_a_run_that_ends_again_while_it_is_gone_on_with(wrong: str, tmp_path: Path) -> None:
    assert_whole_after_each(tmp_path, wrong, broken_off, resume, resume, start)


@pytest.mark.parametrize("wrong", ["cut", ERROR])
def test_a_run_that_ends_while_it_replaces_another(wrong: str, tmp_path: Path) -> None:
    case = Case("run", scenario())

    def again(run: Path) -> Any:
        return run_case(case, run, Options(force=True)).opened()

    def afterwards(run: Path) -> Any:
        bring_back(run.parent, {"run"})
        assert run.exists()
        return run_case(case, run, Options(resume=True)).opened()

    assert_whole_after_each(tmp_path, wrong, start, again, afterwards, start)


# Forked from a process that has only imported what a run needs.
_KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from file_operations import Files
from test_last_operation import start
for place in map(Path, sys.argv[3:]):
    child = os.fork()
    if not child:
        with Files(place, int(place.name), "exit").watched():
            start(place / "run")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
"""


def test_a_process_that_really_ends_at_an_operation_is_gone_on_with(tmp_path: Path) -> None:
    counted = Files(tmp_path)
    with counted.watched():
        whole = start(tmp_path / "whole" / "run")
    places = [tmp_path / str(number) for number in list(numbers(counted.done))[1::9]]
    assert len(places) >= 5
    for place in places:
        place.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, Path(__file__).parent, TESTS / "support", *places],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr
    for place in places:
        begun = (place / "run" / SCENARIO).exists()
        run = resume(place / "run") if begun else start(place / "run")
        assert digests(run) == digests(whole)
        assert contents(place) == contents(tmp_path / "whole")
