"""The carbon of electricity whose intensity changes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world_runs import run, scenario

from afl_sim.run.api import read_study
from afl_sim.scenario.traces.intensities import read_intensities
from afl_sim.world.account.building import intensity_of
from afl_sim.world.account.intensity import Intensity

HOUR = 3_600_000_000


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.integers(1, 7),
    st.integers(0, 20),
    st.integers(0, 60),
)
def test_the_integral_is_the_sum_over_every_microsecond(
    steps: list[int], step_us: int, offset_us: int, until: int
) -> None:
    intensity = Intensity(tuple(steps), step_us, offset_us)
    assert intensity.until(until) == sum(intensity.at(time) for time in range(until))
    assert intensity.at(0) == steps[offset_us // step_us % len(steps)]


def wait(server: Any) -> Any:
    yield server.sleep(1)


def test_carbon_is_power_times_the_intensity_of_each_hour(tmp_path: Path) -> None:
    (tmp_path / "grid.csv").write_text("time_h,g_per_kwh\n0,100\n1,400\n2,50\n")
    world = scenario(
        [[1.0], [1.0]],
        fleet={"power": {"compute": 1, "idle": 500}},
        server={"power": "1 kW", "carbon_intensity": 10},
        carbon_intensity={"trace": str(tmp_path / "grid.csv"), "origin": "1 h"},
        stop={"virtual_seconds": 1.5 * 3600},
    )
    account = run(world, wait).world.account
    assert account is not None
    found = account.until(HOUR * 3 // 2).carbon_grams
    assert found == {"clients": 400 + 25.0, "server": 15.0, "total": 440.0}
    assert account.until(HOUR * 2).carbon_grams["clients"] == 450.0  # and the trace begins anew
    assert account.until(HOUR * 3).carbon_grams["clients"] == 550.0


def test_each_group_can_have_the_intensity_of_its_region() -> None:
    groups = [
        {"name": "north", "count": 1, "carbon_intensity": 20},
        {"name": "south", "count": 1},
    ]
    world = scenario(
        [[1.0], [1.0]],
        fleet={
            "power": {"compute": 1, "idle": 1000},
            "groups": [
                {**group, "compute": {"seconds_per_task": 1, "jitter_seconds": 0}}
                for group in groups
            ],
        },
        carbon_intensity=700,
        stop={"virtual_seconds": 3600},
    )
    account = run(world, wait).world.account
    assert account is not None
    assert account.until(HOUR).carbon_grams == {"clients": 720.0, "total": 720.0}


FILE = """\
clients: {count: 2, power: {compute: 1, idle: 1}}
strategy: {kind: fedasync, concurrency: 1}
carbon_intensity: %s
stop: {virtual_seconds: 10}
"""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("time_h,g_per_kwh\n0,1\n1,2\n3,3\n", "grid.csv:4: time_h is '3', 7200 s after the row"),
        ("time_h,g_per_kwh\n0,1\n2,2\n1,3\n", "grid.csv:4: time_h is '1', which is not after '2'"),
        ("time_h,g_per_kwh\n0,1\n1,\n2,3\n", "grid.csv:3: g_per_kwh is ''; expected a number"),
        ("time_h,g_per_kwh\n0,1\n1,-5\n", "grid.csv:3: g_per_kwh is '-5'; expected a number"),
        ("time_h,g_per_kwh\n0,1\n", "has 1 row; expected two or more"),
        ("time,grams\n0,1\n1,2\n", "no column 'g_per_kwh'"),
        ("hour,g_per_kwh\n0,1\n1,2\n", "no column 'time'"),
        (
            "time,g_per_kwh\n2024-01-01T00:00,1\n2024-01-01T01:00,2\n2024-01-01T03:00,2\n",
            "grid.csv:4: time is '2024-01-01T03:00', 7200 s after the row before; expected 3600 s",
        ),
    ],
)
def test_a_trace_with_gaps_or_out_of_order_is_refused_with_its_line(
    rows: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "grid.csv").write_text(rows)
    with pytest.raises(Exception, match="carbon_intensity") as caught:
        read_study(FILE % "grid.csv", base=tmp_path)
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_trace_of_dates_begins_where_the_scenario_says(tmp_path: Path) -> None:
    (tmp_path / "grid.csv").write_text(
        "time,g\n2024-01-01T00:00,1\n2024-01-01T01:00,2\n2024-01-01T02:00,4\n"
    )
    text = FILE % "{trace: grid.csv, column: g, origin: 2024-01-01T01:30}"
    case = read_study(text, base=tmp_path).cases[0]
    found = intensity_of(case.scenario.carbon_intensity)
    assert found is not None
    assert Fraction(found.until(HOUR), HOUR * 10**6) == 3  # half an hour at 2, half at 4


@pytest.mark.parametrize(
    ("column", "grams"),
    [
        ("g_per_kwh", 2.0),
        ("kg_per_kwh", 2000.0),
        ("kg_per_MWh", 2.0),
        ("tCO2/GWh", 2.0),
        ("lb_per_MWh", 0.90718474),
        ("Carbon intensity gCO2eq/kWh (life cycle)", 2.0),
        ("intensity (kgCO2e/kWh)", 2000.0),
        ("co2_kg_per_mwh", 2.0),
        ("backlog_per_kwh", 2.0),
        ("intensity", 2.0),
    ],
)
def test_the_name_of_a_column_may_say_its_unit(column: str, grams: float, tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(f"time_h,{column}\n0,2\n1,0\n")
    assert read_intensities(path, None, column)[0].grams == (grams, 0.0)
