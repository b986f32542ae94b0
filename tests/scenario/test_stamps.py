"""What is kept of a file is used only as long as the file is certainly the same."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from afl_sim.stamps import stamp_of


def test_a_file_that_rests_keeps_its_stamp(tmp_path: Path) -> None:
    file = tmp_path / "rests"
    file.write_text("a")
    time.sleep(0.1)
    assert stamp_of(file.stat()) == stamp_of(file.stat())


def test_a_file_that_was_changed_a_moment_ago_may_change_again_in_the_same_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "changes"
    file.write_text("a")
    found = file.stat()
    monkeypatch.setattr(time, "time_ns", lambda: found.st_ctime_ns + 1_000_000)
    assert stamp_of(found) != stamp_of(found)


def test_a_change_is_another_stamp(tmp_path: Path) -> None:
    file = tmp_path / "changes"
    file.write_text("a")
    time.sleep(0.1)
    before = stamp_of(file.stat())
    file.write_text("b")
    time.sleep(0.1)
    assert stamp_of(file.stat()) != before
