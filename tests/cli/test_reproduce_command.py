"""`afl-sim reproduce`: what there is, what it runs, how it ends."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from commands import Command
from tiny import STUDY, write_target


def test_a_target_of_ones_own_is_run_once_and_its_tables_are_printed(
    afl_sim: Command, tmp_path: Path
) -> None:
    write_target(tmp_path)
    first, second, third, wrong, scale, many = afl_sim.batch(
        [
            ("reproduce", "tiny"),
            ("reproduce", "tiny", "--keep"),
            ("reproduce", "tiny"),
            ("reproduce", "tniy"),
            ("reproduce", "tiny", "--scale", "medium"),
            ("reproduce", "tiny", "tiny", "--out", "x"),
        ]
    )
    # A number that misses is a result, not a failure.
    out = first.succeeded().out
    assert out.startswith("Rounds of a tiny fleet\nNobody, 2020\n")
    assert "8.0 (unconfirmed)" in out
    assert "no, -37.5 %" in out
    assert "1 of 2 rows within tolerance; 1 of 1 claims hold" in out
    assert "Reduced at small scale: rounds: 2 seeds of 4." in out
    for name in ("table.csv", "table.md", "tiny.png", "tiny.pdf"):
        assert f"written: runs/papers/tiny/small/{name}" in out
    assert first.err.count("complete in") == 2
    assert second.succeeded().err.count("finished before, reused") == 2
    assert (tmp_path / "tiny" / "results" / "small.json").is_file()
    assert "as published" not in out + second.out  # nothing was kept before
    assert " of 2 runs as published\n" in third.succeeded().out
    for result, words in ((wrong, "no target 'tniy'"), (scale, "small or full"), (many, "--out")):
        assert result.code == 2
        assert words in result.errors[0]


def test_ctrl_c_breaks_off_with_130_and_the_next_call_goes_on(
    afl_sim: Command, tmp_path: Path
) -> None:
    place = write_target(tmp_path)
    (place / "rounds.yaml").write_text(STUDY.replace("versions: 5", "versions: 40000"))
    process = afl_sim.start("reproduce", "tiny")
    runs = tmp_path / "runs" / "papers" / "tiny"
    ends = time.monotonic() + 60
    while not list(runs.glob("*/r0/scenario.yaml")):
        assert time.monotonic() < ends, "the run did not begin"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not (runs / "small").exists()
    (place / "rounds.yaml").write_text(STUDY)
    (again,) = afl_sim.batch([("reproduce", "tiny")])
    assert again.succeeded().err.count("complete in") == 2
