"""The worked example of docs/staleness.md is what its scenario gives."""

from __future__ import annotations

import re
from pathlib import Path

from doc_blocks import blocks
from places import ROOT

from afl_sim import simulate

PAGE = (ROOT / "docs" / "staleness.md").read_text("utf-8")
WHO = {"fast": 0, "slow": 1}


def test_the_worked_example_comes_out_as_it_is_told(tmp_path: Path) -> None:
    (scenario,) = (block.text for block in blocks(PAGE) if block.language == "yaml")
    (tmp_path / "two.yaml").write_text(scenario)
    events = simulate(tmp_path / "two.yaml", timing_only=True).events
    rows = events[events.kind == "aggregated"]
    columns = ["time_us", "client", "base_version", "version", "staleness"]
    told = re.findall(
        r"^\| (\d+) s \| update of the (\w+) client \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.M
    )
    assert len(told) == 6
    assert rows[columns].astype(int).values.tolist() == [
        [int(seconds) * 10**6, WHO[who], *map(int, rest)] for seconds, who, *rest in told
    ]
