"""`validate --cost` and `run --timing-only --cost`: what training would cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command

from afl_sim.cli.cost import duration

COLUMNS = ["run", "updates", "steps", "samples", "TFLOP", "evaluations"]
STUDY = """\
data: {partition: {kind: iid, samples: 25}}
model: {kind: mlp, hidden: [8]}
training: {epochs: 2, batch_size: 10}
clients: {count: 5, compute: {seconds_per_task: 1.0}}
strategy: {kind: fedasync, concurrency: 2}
evaluation: {samples: 100}
recording: {trace: false}
stop: {updates: 10}
sweep: {strategy.alpha: [0.5, 0.9]}
"""


def test_the_cost_of_each_run_and_of_all(afl_sim: Command, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    told = afl_sim("validate", "study.yaml", "--cost").succeeded().out.splitlines()
    assert told[0] == "study.yaml: ok, 2 runs"
    assert told[1].split() == [*COLUMNS, "wall", "time"]
    # 10 updates of 2 epochs with 3 batches; 6 x 25 x 2 x 10 x (784 x 8 + 8 x 10) operations
    for line, name in zip(told[2:4], ("0.5", "0.9"), strict=True):
        assert name in line
        assert line.split()[-7:-2] == ["10", "60", "500", "1.91e-05", "2"]
    assert told[4].split()[:7] == ["all", "2", "20", "120", "1,000", "3.81e-05", "4"]
    assert told[-1] == ("shared: 2 runs have 1 partition, 1 initial model, 1 fleet and 2 schedules")
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_run_that_trains_need_not_be_told_its_cost(afl_sim: Command) -> None:
    result = afl_sim("run", "smallest", "--cost")
    assert result.code == 2
    assert result.errors == [
        "--cost needs --timing-only; `afl-sim validate --cost` runs nothing else"
    ]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (90.4, "1 min 30 s"),
        (3599.6, "1 h"),
        (9000, "2 h 30 min"),
        (48 * 3600, "2.0 days"),
    ],
)
def test_a_wall_time_has_two_units_at_most(seconds: float, told: str) -> None:
    assert duration(seconds) == told
