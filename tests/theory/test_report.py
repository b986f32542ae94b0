"""The line with which comparisons with exact results end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from afl_sim.theory.report import Row, closing


def row(name: str, verdict: str) -> Row:
    oracle: Any = SimpleNamespace(name=name)
    return Row(oracle, None, verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["holds"], "the comparison holds: the simulator agrees with the exact results"),
        (["holds", "holds"], "all 2 comparisons hold: the simulator agrees with the exact results"),
        (["holds", "misses", "too wide"], "2 of 3 comparisons do not hold: row1, row2"),
    ],
)
def test_the_last_line_tells_the_verdict(verdicts: list[str], expected: str) -> None:
    assert closing([row(f"row{n}", verdict) for n, verdict in enumerate(verdicts)]) == expected
