"""Commands whose output nobody can take in: a full disk, a pipe that is closed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import QUICK, Command, summary
from places import SMALLEST

TIMED = ("run", SMALLEST, *QUICK, "--timing-only")


@pytest.fixture(params=["full disk", "closed pipe"])
def nowhere(request: pytest.FixtureRequest) -> Iterator[tuple[int, list[str]]]:
    """A file descriptor on which every write fails, and what there is to say about that."""
    told = []
    if request.param == "full disk":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full here")
        descriptor = os.open("/dev/full", os.O_WRONLY)
        told = ["error: cannot write the output: the disk is full"]
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    yield descriptor, told
    os.close(descriptor)


def start(command: Command, *line: str | Path, **streams: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.line(*line),
        cwd=command.folder,
        env=command.environment,
        text=True,
        timeout=120,
        check=False,
        **streams,
    )


@pytest.mark.parametrize("line", [("list", "scenarios"), TIMED])
def test_lost_output_is_one_error_and_a_closed_pipe_is_none(
    afl_sim: Command, tmp_path: Path, nowhere: tuple[int, list[str]], line: tuple[str | Path, ...]
) -> None:
    out = ("--out", "run") if line is TIMED else ()
    ended = start(afl_sim, *line, *out, stdout=nowhere[0], stderr=subprocess.PIPE)
    told = [text for text in ended.stderr.splitlines() if not text.startswith("smallest: ")]
    assert (ended.returncode, told) == (1, nowhere[1])
    if out:
        assert summary(tmp_path / "run")["status"] == "complete"


def test_a_run_goes_on_where_its_progress_cannot_be_shown(
    afl_sim: Command, tmp_path: Path, nowhere: tuple[int, list[str]]
) -> None:
    ended = start(afl_sim, *TIMED, "--out", "run", stdout=subprocess.PIPE, stderr=nowhere[0])
    assert ended.returncode == 0
    assert ended.stdout.endswith("results: run\n")
    assert summary(tmp_path / "run")["status"] == "complete"


def test_an_error_that_cannot_be_shown_still_has_its_exit_code(
    afl_sim: Command, nowhere: tuple[int, list[str]]
) -> None:
    ended = start(afl_sim, "list", "things", stdout=nowhere[0], stderr=nowhere[0])
    assert ended.returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_output_cannot_encode_is_no_error(
    afl_sim: Command, tmp_path: Path, encoding: str
) -> None:
    """Bars and boxes in tables, and letters and bytes in the names of folders."""
    line = ("validate", SMALLEST, "--show")
    out = os.fsdecode(b"\xff\xc3\xb6\xe2\x82\xac")  # a byte that is no text, an umlaut, a sign
    environment = afl_sim.environment | {"PYTHONIOENCODING": encoding}
    written = {"ascii": b"\xff??", "latin-1": b"\xff\xf6?", "utf-8": os.fsencode(out)}
    for words in (line, (*TIMED, "--out", out)):
        ended = subprocess.run(
            afl_sim.line(*words),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == b"results: " + written[encoding]
