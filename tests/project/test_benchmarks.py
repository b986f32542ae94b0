"""The benchmark scripts run, in their quick mode, and print the table that they promise.

How fast anything is, is not tested here: that depends on what else the machine does.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from places import TESTS

SCRIPTS = TESTS / "benchmarks"
ROWS = {
    "training": ["lenet", "cnn"],
    "scaling": ["inline", "1", "2"],
    "startup": [
        "`python -c 'import torch'`",
        "`afl-sim --help`",
        "`afl-sim run smallest --timing-only`",
        "`afl-sim run smallest`",
        "`afl-sim run smallest --workers 2`",
    ],
    "schedule": ["fedasync", "fedbuff", "fedavg"],
    "replay": ["fedbuff", "fedasync"],
    "figures": [
        *(
            f"`plot --figure {name}`"
            for name in (
                *("heterogeneity", "stragglers", "staleness", "staleness-time"),
                *("timeline", "network"),
            )
        ),
        "`diff` with itself",
    ],
    "sequences": ["lstm", "transformer"],
    "server": ["logistic", "lenet", "2NN", "cnn"],
    "memory": ["two `.npy` files for each set", "`.npz`"],
}


def printed_by(script: str, *arguments: str) -> str:
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *arguments, "--quick"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_table(name: str, printed: str) -> None:
    """The part of what was printed that is this benchmark's is whole."""
    _, _, part = printed.partition(f"`python tests/benchmarks/{name}.py`\n")
    part, _, _ = part.partition("\n## ")
    header, rule, *rows = [line.split(" | ") for line in part.splitlines() if line[:1] == "|"]
    assert [row[0].removeprefix("| ") for row in rows] == ROWS[name]
    assert all(len(row) == len(header) == len(rule) for row in rows)
    assert all(re.match(r"-?[\d,]+(\.\d+)?( %)?( \|)?$", cell) for row in rows for cell in row[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["training", "scaling", "startup", "sequences", "memory", "replay", "figures"]
)
def test_a_script_prints_its_table_and_the_machine(name: str) -> None:
    printed = printed_by(name)
    check_table(name, printed)
    assert re.search(r"\nOn: .+ cores .+ torch \d", printed)


@pytest.mark.slow
def test_a_quick_run_of_several_prints_their_tables_and_leaves_the_results_alone() -> None:
    before = {path: path.read_bytes() for path in (SCRIPTS / "results").glob("*")}
    printed = printed_by("bench", "server", "schedule")
    check_table("server", printed)
    check_table("schedule", printed)
    assert "written to" not in printed
    assert {path: path.read_bytes() for path in (SCRIPTS / "results").glob("*")} == before
