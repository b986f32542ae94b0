"""What a run uses and costs, by hand and for any world."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_worlds import outcome_of, worlds
from redone_account import charged, grams, redone, with_power
from world_runs import MODEL_BYTES, SAMPLES, Outcome, run, scenario

from afl_sim.scenario import Scenario
from afl_sim.scenario.bundled import scenario_folder
from afl_sim.scenario.sections.battery import Battery
from afl_sim.scenario.sections.carbon import TracedIntensity
from afl_sim.scenario.sections.energy import Power
from afl_sim.world.account.costs import Costs

POWER = {"compute": 4, "download": 1, "upload": 2, "idle": 0.5}


def costs(outcome: Outcome) -> Costs:
    assert outcome.world.account is not None
    return outcome.world.account.until(outcome.ending.time_us)


def joules(outcome: Outcome) -> dict[str, float]:
    return dict(costs(outcome).energy_joules)


def one_task(server: Any) -> Any:
    server.send(1)
    yield server.aggregate([(yield server.arrival())])


def test_each_phase_takes_its_power_for_its_time_and_all_other_time_is_idle() -> None:
    world = scenario(
        [[10.0], [10.0]], down=2, up=3, fleet={"power": POWER}, stop={"virtual_seconds": 100}
    )
    assert joules(run(world, one_task)) == {
        "download": 2.0,
        "compute": 40.0,
        "upload": 6.0,
        "idle": (85 + 100) * 0.5,
        "total": 2 + 40 + 6 + 92.5,
        "wasted": 0.0,
    }


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (1, {"download": 1.0, "compute": 0.0, "upload": 0.0, "wasted": 1.0}),
        (5, {"download": 2.0, "compute": 12.0, "upload": 0.0, "wasted": 14.0}),
        (14, {"download": 2.0, "compute": 40.0, "upload": 4.0, "wasted": 46.0}),
    ],
)
def test_a_cancelled_task_is_cut_in_its_phase_and_all_of_it_is_wasted(
    after: float, expected: dict[str, float]
) -> None:
    def schedule(server: Any) -> Any:
        (task,) = server.send(1)
        yield server.sleep(after)
        server.cancel(task)

    world = scenario([[10.0]], down=2, up=3, fleet={"power": POWER}, stop={"virtual_seconds": 100})
    found = joules(run(world, schedule))
    assert {name: found[name] for name in expected} == expected
    assert found["idle"] == (100 - after) * 0.5


def test_the_end_of_the_run_cuts_a_phase_and_wastes_nothing() -> None:
    world = scenario([[10.0]], down=2, up=3, fleet={"power": POWER}, stop={"virtual_seconds": 5})
    found = joules(run(world, one_task))
    assert (found["download"], found["compute"], found["upload"]) == (2.0, 12.0, 0.0)
    assert (found["idle"], found["wasted"]) == (0.0, 0.0)


def test_a_discarded_update_is_wasted() -> None:
    def schedule(server: Any) -> Any:
        server.send(1)
        server.discard((yield server.arrival()))

    world = scenario([[10.0]], down=2, up=3, fleet={"power": POWER}, stop={"virtual_seconds": 50})
    assert joules(run(world, schedule))["wasted"] == 48.0


def test_a_client_that_has_left_for_good_is_not_idle_any_more() -> None:
    availability = {"kind": "always", "joins": 10, "leaves": {"values": [60, 5]}}
    world = scenario(
        [[10.0], [10.0]],
        fleet={"power": POWER, "availability": availability},
        stop={"virtual_seconds": 100},
    )

    def wait(server: Any) -> Any:
        yield server.sleep(1)

    assert joules(run(world, wait))["idle"] == (60 - 10) * 0.5


def test_a_queued_task_takes_no_power_until_it_is_started() -> None:
    def schedule(server: Any) -> Any:
        server.dispatch(0)
        server.dispatch(0)
        yield server.arrival()
        yield server.arrival()

    world = scenario(
        [[10.0]], fleet={"power": POWER, "queue": "fifo"}, stop={"virtual_seconds": 100}
    )
    found = joules(run(world, schedule))
    assert (found["compute"], found["idle"]) == (80.0, 40.0)


def test_energy_by_sample_and_by_byte_is_that_of_the_rows() -> None:
    fleet = {
        "power": {"idle": 0},
        "energy_per_sample": 0.5,
        "energy_per_byte": {"download": 0.001, "upload": 0.002},
    }
    world = scenario([[10.0]], down=2, up=3, fleet=fleet, stop={"virtual_seconds": 100})
    found = joules(run(world, one_task))
    assert found["compute"] == 0.5 * SAMPLES
    assert found["download"] == 0.001 * MODEL_BYTES
    assert found["upload"] == 0.002 * MODEL_BYTES


def test_a_computation_that_is_cut_off_has_used_the_energy_of_the_steps_that_it_did() -> None:
    def schedule(server: Any) -> Any:
        (task,) = server.send(1)
        yield server.sleep(5)
        server.cancel(task)

    world = scenario(
        1,
        compute={"seconds_per_step": 2},
        training={"epochs": 5, "batch_size": 5},  # ten steps of five samples
        fleet={"power": {"idle": 0}, "energy_per_sample": 0.5},
        stop={"virtual_seconds": 100},
    )
    outcome = run(world, schedule)
    assert outcome.of("cancelled")[0].context == '{"samples_done": 10}'
    assert joules(outcome)["compute"] == joules(outcome)["wasted"] == 5.0


def test_prices_count_tasks_bytes_and_hours() -> None:
    world = scenario(
        [[10.0]],
        fleet={"price": {"per_task": 2, "per_gb": 1e6}},
        server={"price": {"per_hour": 36, "per_gb_in": 3e6, "per_gb_out": 5e6}},
        stop={"virtual_seconds": 100},
    )
    found = costs(run(world, one_task))
    assert found.price == pytest.approx(
        {"clients": 2 + 2.0, "server": 1 + 3 + 5.0, "total": 13.0}, rel=1e-15
    )
    assert not found.energy_joules


def test_the_server_uses_its_power_all_the_time() -> None:
    world = scenario([[10.0]], server={"power": 200}, stop={"virtual_seconds": 100})
    assert joules(run(world, one_task)) == {"server": 20000.0, "total": 20000.0}


def test_a_run_that_says_nothing_of_energy_has_no_account() -> None:
    assert run(scenario([[10.0]]), one_task).world.account is None


@pytest.mark.parametrize(
    ("stop", "versions"),
    [({"energy_joules": 100}, 2), ({"energy_joules": 101}, 3), ({"price": 3}, 3)],
)
def test_a_run_ends_at_the_version_at_which_its_budget_is_used_up(
    stop: dict[str, float], versions: int
) -> None:
    fleet = {"power": {**POWER, "compute": 5}, "price": {"per_task": 1}}
    world = scenario([[10.0]], fleet=fleet, stop=stop)
    outcome = run(world)
    assert outcome.server.version == versions
    assert outcome.ending.rule == next(iter(stop))


LAWS = {
    "compute": {"dist": "lognorm", "s": 0.5, "scale": 3.7},
    "download": {"dist": "uniform", "scale": 1.3},
    "upload": 1.6,
    "idle": {"dist": "expon", "scale": 0.07},
}


@settings(max_examples=60, deadline=None)
@given(worlds() | worlds(["fedasmu"]))
def test_the_energy_of_any_world_is_the_sum_over_its_log(world: Scenario) -> None:
    plain = outcome_of(world)
    world = with_power(world, LAWS)
    outcome = outcome_of(world)
    assert outcome.schedule_digest == plain.schedule_digest
    expected = redone(world, outcome)
    found = joules(outcome)
    assert found == pytest.approx({name: expected.get(name, 0.0) for name in found}, rel=1e-12)


STEPS, STEP_US = (100, 0, 400, 250, 30), 700_000


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TracedIntensity:
    """An intensity that changes every 0.7 s."""
    file = tmp_path_factory.mktemp("grid") / "grid.csv"
    rows = "".join(f"{i * STEP_US / 1e6},{grams}\n" for i, grams in enumerate(STEPS))
    file.write_text(f"time,g_per_kwh\n{rows}")
    return TracedIntensity(trace=str(file))


@settings(max_examples=60, deadline=None)
@given(worlds(), st.booleans(), st.booleans(), st.sampled_from([None, "fifo", "shared"]))
def test_groups_batteries_and_hours_of_any_world_are_sums_over_its_log(
    grid: TracedIntensity, world: Scenario, own: bool, batteries: bool, cell: str | None
) -> None:
    world = with_power(world, LAWS)
    if cell is not None:  # all updates pass a link of the server that changes in time
        trace = {"trace": str(scenario_folder() / "traces" / "uplinks.csv"), "factor": 0.1}
        link = scenario(1, server={"upload": {"kind": cell, "bandwidth_trace": trace}})
        server = world.server.model_copy(update={"upload": link.server.upload})
        world = world.model_copy(update={"server": server})
    clients = world.clients
    battery = Battery(capacity=30, charging=4, level={"dist": "uniform"})
    update: dict[str, Any] = {"battery": battery} if batteries else {}
    first = {"power": Power(compute=7, download=2, upload=3, idle={"dist": "expon"})}
    groups = tuple(
        group.model_copy(update={**update, **(first if own and not i else {})})
        for i, group in enumerate(clients.groups)
    )
    if groups and own:
        groups = (*groups[:1], *(g.model_copy(update={"carbon_intensity": 77}) for g in groups[1:]))
    world = world.model_copy(
        update={
            "clients": clients.model_copy(update={**update, "groups": groups}),
            "carbon_intensity": grid,
        }
    )
    outcome = outcome_of(world)
    assert outcome_of(world).schedule_digest == outcome.schedule_digest
    found = costs(outcome)
    expected = redone(world, outcome)
    joules = dict(found.energy_joules)
    assert joules == pytest.approx({name: expected[name] for name in joules}, rel=1e-12)
    carbon = grams(world, outcome, STEPS, STEP_US)
    assert found.carbon_grams["clients"] == pytest.approx(carbon, rel=1e-12, abs=1e-15)
    low = charged(world, outcome)
    end = outcome.ending.time_us
    away = {(event.client, event.time_us) for event in outcome.of("unavailable")}
    back = {(event.client, event.time_us) for event in outcome.of("available")}
    assert {(client, now) for client, now, _ in low if now < end} <= away
    assert {(client, full) for client, _, full in low if full < end} <= back
    there = world.clients.availability
    if there.kind == "always" and there.leaves is None:  # nothing else keeps a client away
        assert {(client, now) for client, now in away if now < end} <= {each[:2] for each in low}


def with_amounts(world: Scenario) -> Scenario:
    """The world, with energy by sample and byte, and with prices."""
    clients = scenario(
        1,
        fleet={
            "power": {"idle": 0},
            "energy_per_sample": 0.5,
            "energy_per_byte": {"download": 0.25, "upload": 2},
            "price": {"per_task": 3, "per_gb": 5e9},
        },
        server={"price": {"per_hour": 3600, "per_gb_in": 7e9, "per_gb_out": 11e9}},
    )
    keys = ("power", "energy_per_sample", "energy_per_byte", "price")
    update = {key: getattr(clients.clients, key) for key in keys}
    groups = tuple(group.model_copy(update=update) for group in world.clients.groups)
    fleet = world.clients.model_copy(update={**update, "groups": groups})
    server = world.server.model_copy(update={"price": clients.server.price})
    return world.model_copy(update={"clients": fleet, "server": server})


@settings(max_examples=60, deadline=None)
@given(worlds() | worlds(["fedasmu"]))
def test_energy_by_amounts_and_prices_of_any_world_are_sums_over_its_log(world: Scenario) -> None:
    plain = outcome_of(world)
    outcome = outcome_of(with_amounts(world))
    assert outcome.schedule_digest == plain.schedule_digest

    def moved(*kinds: str) -> int:
        return sum(event.bytes for event in outcome.of(*kinds))

    trained = {}
    for event in outcome.of("requested", "computed", "cancelled", "failed"):
        task = event.client, event.task
        if event.kind == "computed":
            trained[task] = event.samples
        elif event.context is not None:
            done = json.loads(event.context)["samples_done"]
            assert trained.get(task, 0) <= done <= event.samples
            trained[task] = done
    found = costs(outcome)
    joules = found.energy_joules
    assert joules["compute"] == 0.5 * sum(trained.values())
    assert joules["download"] == 0.25 * moved("downloaded", "refreshed")
    assert joules["upload"] == 2.0 * moved("arrived", "lost", "duplicate")
    assert joules["wasted"] <= joules["total"]
    all_moved = moved("downloaded", "refreshed", "arrived", "lost", "duplicate")
    seconds = outcome.ending.time_us / 1e6
    assert found.price == pytest.approx(
        {
            "clients": 3 * len(outcome.of("dispatched")) + 5 * all_moved,
            "server": seconds
            + 7 * moved("arrived", "duplicate")
            + 11 * moved("downloaded", "refreshed"),
            "total": found.price["clients"] + found.price["server"],
        },
        rel=1e-12,
    )
