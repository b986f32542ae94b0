"""Compute times that follow the model: hand-computed durations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afl_sim.errors import ScenarioError
from afl_sim.global_model.null import NullLearner
from afl_sim.run.api import load_scenario
from afl_sim.run.building import world_of
from afl_sim.run.kinds import catalogue
from afl_sim.run.of_devices import client_speeds
from afl_sim.run.step_cost import model_cost_of, step_cost_of
from afl_sim.scenario import read_study
from afl_sim.scenario.checks.doubts import doubts
from afl_sim.scenario.sections.speed_correlation import SpeedCorrelation
from afl_sim.streams import Streams
from afl_sim.world.event_kinds import COMPUTED, DOWNLOADED
from afl_sim.world.tasks.roofline import Roofline, StepCost

FILE = """
seed: 4
data: {partition: {kind: iid, samples: SAMPLES}}
model: MODEL
training: TRAINING
clients:
  count: COUNT
  compute: COMPUTE
MORE
strategy: {kind: fedavg, clients_per_round: COUNT}
stop: {versions: 1}
"""
LOGISTIC_STEP = 470_400  # operations: a batch of 10, 784 inputs, 10 outputs, twice, three passes
MOVED = 4 * 7850 * 6 + 10 * 5 * 3136  # bytes


def load(
    folder: Path,
    compute: str,
    *,
    samples: int = 10,
    count: int = 2,
    model: str = "logistic",
    training: str = "{batch_size: 10, epochs: 1}",
    more: str = "",
) -> Any:
    text = FILE.replace("COUNT", str(count)).replace("COMPUTE", compute).replace("MORE", more)
    text = text.replace("MODEL", model).replace("TRAINING", training)
    file = folder / "flops.yaml"
    file.write_text(text.replace("SAMPLES", str(samples)))
    return load_scenario(file)


def seconds(made: Any, samples: int = 10) -> dict[int, float]:
    """How long each client computes in its first task."""
    began: dict[int, int] = {}
    took: dict[int, float] = {}

    def log(time_us: int, kind: int, client: int, *rest: Any) -> None:
        if kind == DOWNLOADED:
            began[client] = time_us
        elif kind == COMPUTED:
            took[client] = (time_us - began[client]) / 1e6

    world_of(made, lambda client: samples, (1, 0), NullLearner(), log).run()
    return took


def test_a_step_takes_its_operations_over_the_attained_rate(tmp_path: Path) -> None:
    compute = "{flops_per_second: {values: [1 MFLOP/s, 2e6]}, efficiency: 0.5}"
    assert seconds(load(tmp_path, compute)) == {
        0: pytest.approx(LOGISTIC_STEP / 0.5e6, abs=1e-6),
        1: pytest.approx(LOGISTIC_STEP / 1e6, abs=1e-6),
    }


def test_a_step_takes_the_larger_of_computing_and_moving(tmp_path: Path) -> None:
    # Client 0 computes for 0.4704 s and moves for 0.3452 s; client 1 moves for 0.6904 s.
    compute = "{flops_per_second: 1e6, bytes_per_second: {values: [1 MB/s, 500 kB/s]}}"
    assert MOVED == 345_200
    assert seconds(load(tmp_path, compute)) == {0: 0.4704, 1: 0.6904}


def test_a_last_smaller_batch_takes_less_operations_but_moves_the_whole_model(
    tmp_path: Path,
) -> None:
    once = "{batch_size: 10, epochs: 2}"
    flops = load(tmp_path, "{flops_per_second: 1e6}", samples=13, training=once)
    assert seconds(flops, 13)[0] == pytest.approx(2 * 1.3 * 0.4704, abs=1e-6)
    moved = load(
        tmp_path,
        "{flops_per_second: 1e12, bytes_per_second: 1e6}",
        samples=13,
        training=once,
    )
    one, few = MOVED, 4 * 7850 * 6 + 3 * 5 * 3136
    assert seconds(moved, 13)[0] == pytest.approx(2 * (one + few) / 1e6, abs=1e-6)
    left_out = "{batch_size: 10, epochs: 2, drop_last: true}"
    dropped = load(tmp_path, "{flops_per_second: 1e6}", samples=13, training=left_out)
    assert seconds(dropped, 13)[0] == pytest.approx(2 * 0.4704, abs=1e-6)
    full = load(
        tmp_path, "{flops_per_second: 1e6}", samples=13, training="{batch_size: full, steps: 3}"
    )
    assert seconds(full, 13)[0] == pytest.approx(3 * 1.3 * 0.4704, abs=1e-6)


def test_an_optimizer_with_a_state_moves_more(tmp_path: Path) -> None:
    compute = "{flops_per_second: 1e12, bytes_per_second: 1e6}"
    plain = seconds(load(tmp_path, compute))[0]
    adam = load(
        tmp_path, compute, training="{batch_size: 10, epochs: 1, optimizer: {kind: Adam, lr: 0.1}}"
    )
    assert seconds(adam)[0] - plain == pytest.approx(4 * 7850 * 4 / 1e6, abs=1e-6)


def test_models_take_times_in_the_ratio_of_their_operations_on_one_fleet(tmp_path: Path) -> None:
    compute = "{flops_per_second: {dist: lognorm, s: 1, scale: 1 GFLOP/s}}"
    found = {}
    for model in ("lenet", "cnn"):
        made = load(tmp_path, compute, model=model)
        found[model] = seconds(made)
        assert model_cost_of(made).flops == {"lenet": 961_000, "cnn": 24_546_304}[model]
    for client in (0, 1):
        ratio = found["cnn"][client] / found["lenet"][client]
        assert ratio == pytest.approx(24_546_304 / 961_000, rel=1e-3)
    assert found["cnn"][0] != found["cnn"][1]


def test_jitter_limits_slowdowns_and_expected_times_go_with_the_roofline(tmp_path: Path) -> None:
    compute = "{flops_per_second: 1e6, efficiency: 0.1"
    made = load(tmp_path, compute + ", jitter: 2, jitter_seconds: 0.5}")
    assert seconds(made)[0] == pytest.approx(2 * 4.704 + 0.5, abs=1e-6)
    world = world_of(made, lambda client: 10, (1, 0), NullLearner(), lambda *row: None)
    assert world.usual_seconds(0)["clients.compute"] == pytest.approx(2 * 4.704 + 0.5)
    assert world.server.expected_seconds(0) == pytest.approx(2 * 4.704 + 0.5)
    capped = load(tmp_path, compute + ", max_seconds: 3}")
    assert seconds(capped)[0] == 3
    stepwise = load(
        tmp_path,
        compute + ", jitter_per: step, jitter: 2}",
        training="{batch_size: 10, steps: 4}",
    )
    assert seconds(stepwise)[0] == pytest.approx(4 * 2 * 4.704, abs=1e-5)


def test_groups_mix_operations_with_other_speeds(tmp_path: Path) -> None:
    more = """  groups:
    - {name: a, count: 1, compute: {efficiency: 0.1}}
    - {name: b, count: 1, compute: {seconds_per_sample: 3}}
"""
    made = load(
        tmp_path, "{flops_per_second: 1e6, efficiency: 0.5, bytes_per_second: 1e9}", more=more
    )
    assert sorted(seconds(made).values()) == [pytest.approx(4.704, abs=1e-6), 30]
    first, second = made.clients.groups
    assert first.compute.bytes_per_second.constant == 1e9
    assert second.compute.bytes_per_second is second.compute.efficiency is None


def test_data_goes_by_the_speed_that_the_model_gives(tmp_path: Path) -> None:
    compute = "{flops_per_second: {values: [1e6, 4e6, 2e6]}, bytes_per_second: 1e6}"
    made = load(tmp_path, compute, count=3)
    data = made.data.model_copy(update={"speed_correlation": SpeedCorrelation(of="labels")})
    made = made.model_copy(update={"data": data})
    found = client_speeds(made)
    assert found == pytest.approx((0.04704, 0.03452, 0.03452))


def test_a_table_of_devices_gives_rates(tmp_path: Path) -> None:
    table = "MFLOP_per_s,MB_per_s,efficiency\n1,1,0.5\n1,0.1,1\n"
    (tmp_path / "phones.csv").write_text(table)
    made = load(
        tmp_path, "{seconds_per_task: 9}", more="  devices: {trace: phones.csv, by: client}\n"
    )
    assert seconds(made) == {0: 0.9408, 1: 3.452}


def test_rates_are_drawn_from_streams_of_their_own_once_for_each_client(tmp_path: Path) -> None:
    law = "{dist: uniform, loc: 1, scale: 1}"
    made = load(tmp_path, f"{{flops_per_second: {law}, bytes_per_second: {law}}}")
    streams = Streams(3)
    roofline = Roofline(made.clients.compute, StepCost(1, 0, 0), streams)
    assert roofline.step(7, 6) == 6 / (1 + streams.uniform("compute.level", 7))
    moved = Roofline(made.clients.compute, StepCost(0, 5, 2), streams)
    assert moved.step(7, 6) == 17 / (1 + streams.uniform("compute.bytes", 7))


def test_no_cost_is_asked_for_where_no_client_has_operations(tmp_path: Path) -> None:
    assert step_cost_of(load(tmp_path, "{seconds_per_task: 9}")) is None


@pytest.mark.parametrize(
    ("compute", "told"),
    [
        ("{flops_per_second: 0}", "flops_per_second: can be 0; expected"),
        (
            "{flops_per_second: 5 GHz}",
            "got '5 GHz', but 'GHz' is no unit here; expected floating-point operations per second",
        ),
        ("{flops_per_second: 5 gflops}", "did you mean 'GFLOP/s'?"),
        ("{bytes_per_second: 5}", "has bytes_per_second without flops_per_second"),
        ("{seconds_per_step: 1, efficiency: 1}", "has efficiency without flops_per_second"),
        (
            "{seconds_per_step: 1, flops_per_second: 1}",
            "has both seconds_per_step and flops_per_second; expected one of",
        ),
        (
            "{flops_per_second: 1, efficiency: {dist: uniform, loc: 0.5, scale: 1}}",
            "efficiency: can be above 1; expected a share of flops_per_second",
        ),
        ("{flops_per_second: 1, efficiency: 0}", "efficiency: can be 0; expected"),
    ],
)
def test_rates_that_cannot_be_are_refused(compute: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, compute)
    (line,) = str(caught.value).splitlines()
    assert told in line
    assert "flops.yaml:8" in line


def test_rates_that_no_device_has_are_doubted(tmp_path: Path) -> None:
    load(tmp_path, "{flops_per_second: 1e18, bytes_per_second: 20}")
    found = doubts(read_study(tmp_path / "flops.yaml", catalogue()))
    assert found == [
        "warning: line 8: clients.compute.flops_per_second: 1e+18 floating-point operations per "
        "second is above 10 PFLOP/s; a number is in floating-point operations per second, and "
        "text has a unit, such as 20 GFLOP/s",
        "warning: line 8: clients.compute.bytes_per_second: 20 bytes per second is below 100 "
        "kB/s; a number is in bytes per second, and text has a unit, such as 2 GB/s",
    ]


def test_a_step_of_two_gradients_takes_twice_as_long(tmp_path: Path) -> None:
    one = load(tmp_path, "{flops_per_second: 1000000}")
    text = (tmp_path / "flops.yaml").read_text()
    two = text.replace("fedavg, clients_per_round: 2", "rennala_mvr, batch_size: 2")
    (tmp_path / "flops.yaml").write_text(two)
    both = seconds(load_scenario(tmp_path / "flops.yaml"))
    assert both == {client: 2 * took for client, took in seconds(one).items()}
    assert both[0] > 0
