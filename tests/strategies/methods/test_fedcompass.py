"""FedCompass: who gets how many steps, worked out by hand from the authors' scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from places import SMALLEST
from vectors import assert_is, models_after, moved, server_steps, vec
from world_runs import Outcome, run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.run.api import load_scenario, simulate
from afl_sim.strategies import FedCompass

CONSTANT = {"kind": "constant"}


def test_a_step_weighs_updates_by_alpha_their_staleness_and_their_share() -> None:
    (model,) = models_after(
        FedCompass(alpha=0.5),
        vec(1, 1),
        [moved(8, 0, client=0, n=1), moved(0, 8, client=1, n=3, tau=3)],
        samples=[1, 3],
    )
    # 0.5 (1 * 1/4 * (8, 0) + 4^-1/2 * 3/4 * (0, 8))
    assert_is(model, 2, 2.5)


def test_shares_may_be_uniform() -> None:
    strategy = FedCompass(alpha=1, staleness=CONSTANT, shares="uniform")
    batch = [moved(8, 0, client=0, n=9)]
    assert_is(models_after(strategy, vec(0, 0), batch, clients=4)[0], 2, 0)


def test_a_server_optimizer_gets_the_sum_without_alpha() -> None:
    optimizer = {"kind": "SGD", "lr": 0.5}
    strategy = FedCompass(server_optimizer=optimizer, staleness=CONSTANT, shares="uniform")
    assert_is(server_steps(strategy, vec(0, 0), [moved(8, 0), moved(0, 4)])[0], 2, 1)


def work(seconds: list[float], until: float, jitter: Any = 1.0, **settings: Any) -> Outcome:
    strategy = {"kind": "fedcompass", "min_steps": 2, "max_steps": 10, **settings}
    compute = {"seconds_per_step": {"values": seconds}, "jitter": jitter}
    return run(
        scenario(len(seconds), strategy=strategy, compute=compute, stop={"virtual_seconds": until})
    )


def test_the_speed_of_a_client_that_has_left_is_that_of_the_steps_it_has_done() -> None:
    leaves = {"kind": "on_off", "on": 4.5, "off": 0.5, "on_leave": "partial"}
    world = scenario(
        2,
        strategy={"kind": "fedcompass", "min_steps": 1, "max_steps": 10, "speed_momentum": 1.0},
        fleet={
            "groups": [
                {"name": "stays", "share": 0.5, "compute": {"seconds_per_step": 0.8}},
                {
                    **{"name": "leaves", "share": 0.5, "availability": leaves},
                    "compute": {"seconds_per_step": 1},
                },
            ]
        },
        stop={"virtual_seconds": 9},
    )
    outcome = run(world)
    leaver, stayer = outcome.of("arrived")
    assert (leaver.time_us, leaver.steps) == (4_500_000, 4)
    # It takes 4.5 s / 4 for a step, so that its next task of 10 is due at 15.75. Into what is left
    # of that at 8, nine steps of 0.8 s fit.
    again = outcome.of("dispatched")[-1]
    assert (again.client, again.time_us, again.steps) == (stayer.client, 8_000_000, 9)


def sent(outcome: Outcome) -> list[tuple[float, int, int]]:
    """(second, client, base version) of each task after the first ones."""
    clients = outcome.world.server.clients
    rows = outcome.of("dispatched")[clients:]
    return [(e.time_us / 1e6, e.client, e.base_version) for e in rows]


def steps_made(outcome: Outcome) -> list[tuple[float, int, int, int, int]]:
    """(second, version, client, steps, staleness) of each aggregated update."""
    return [
        (e.time_us / 1e6, e.version, e.client, e.steps, e.staleness)
        for e in outcome.of("aggregated")
    ]


def test_clients_are_led_into_groups_that_arrive_together() -> None:
    outcome = work([1, 2, 4], until=45)
    assert steps_made(outcome) == [
        # First updates make a step at once. Client 0 then begins a group, of 10 steps, T_max 25.
        (10, 1, 0, 10, 0),
        (20, 2, 1, 10, 1),
        # Client 1 cannot join: T_a is now. Client 0 may come again at 25 + 10, so 15/2: 7 steps.
        (20, 3, 0, 10, 1),
        # Client 0 could do 14 steps until client 1 comes at 34, which is too many: its own group.
        (30, 4, 0, 10, 0),
        # Now it can do 4 until then, and joins.
        (34, 5, 1, 7, 2),
        (34, 5, 0, 4, 0),
        # The fastest goes first, with 10 steps until 44; client 1 joins it with 5.
        (40, 6, 2, 10, 5),
        (44, 7, 0, 10, 1),
        (44, 7, 1, 5, 1),
    ]
    assert sent(outcome) == [
        *((10, 0, 1), (20, 1, 2), (20, 0, 3), (30, 0, 4), (34, 0, 5), (34, 1, 5), (40, 2, 6)),
        *((44, 0, 7), (44, 1, 7)),
    ]


def test_a_slow_client_begins_a_group_when_the_fastest_may_come_a_second_time() -> None:
    outcome = work([1, 2, 4], until=60)
    # At 40 s client 2 cannot join the group of 44 s (1 step). That group is waited for until 49 s,
    # and its fastest client may come 10 s later: (59 - 40)/4, 4 steps.
    (mine,) = [row for row in steps_made(outcome) if row[2] == 2 and row[1] > 6]
    assert mine[0] == 56
    assert mine[3] == 4


LATE: dict[str, Any] = {"values": [1, {"sequence": [1, 3, 1]}]}  # client 1's second task


def test_a_group_is_waited_for_until_t_max_and_who_is_late_has_a_part_in_the_next_step() -> None:
    outcome = work([1, 1], until=45.5, jitter=LATE, latest_time_factor=1.2)
    assert steps_made(outcome) == [
        (10, 1, 0, 10, 0),
        (10, 2, 1, 10, 1),
        (22, 3, 0, 10, 1),  # came at 20 s; T_max is 10 + 1.2 * 10
        (32, 4, 0, 10, 0),
        (42, 5, 1, 10, 2),  # came at 40 s, late, into the general buffer
        (42, 5, 0, 10, 0),
        # Client 1's speed was 0.1 * 1 + 0.9 * 3 = 2.8 at 40 s: (44 + 10 - 40)/2.8, 5 steps.
        (45, 6, 1, 5, 1),
    ]
    assert sent(outcome) == [
        *((10, 0, 1), (10, 1, 2), (22, 0, 3), (32, 0, 4), (40, 1, 4), (42, 0, 5)),
        (45, 1, 6),
    ]


def test_an_arrival_at_the_very_instant_of_t_max_is_in_time() -> None:
    # Client 1's second task takes 12 s: it comes at 22 s, which is T_max.
    jitter = {"values": [1, {"sequence": [1, 1.2, 1]}]}
    outcome = work([1, 1], until=23, jitter=jitter, latest_time_factor=1.2)
    assert steps_made(outcome)[2:] == [(22, 3, 0, 10, 1), (22, 3, 1, 10, 0)]


def test_nobody_does_more_or_fewer_steps_than_allowed() -> None:
    outcome = work([1, 1.3, 2.9, 7], until=400)
    steps = {e.steps for e in outcome.of("aggregated")}
    assert min(steps) >= 2
    assert max(steps) == 10


def test_tasks_without_time_are_refused() -> None:
    with pytest.raises(ScheduleError, match="needs the time of a step, and client 0's tasks take"):
        run(scenario([0, 0], strategy={"kind": "fedcompass"}, stop={"versions": 3}))


@pytest.mark.parametrize(
    ("compute", "key"),
    [
        ("clients.compute={seconds_per_task: 2}", "clients.compute.seconds_per_task"),
        (
            "clients.groups=[{name: a, share: 0.5, compute: {seconds_per_task: 2}}, "
            "{name: b, share: 0.5, compute: {seconds_per_step: 1}}]",
            "clients.groups.0.compute.seconds_per_task",
        ),
    ],
)
def test_a_fleet_whose_tasks_take_no_longer_for_more_steps_is_refused(
    compute: str, key: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        load_scenario(SMALLEST, ["strategy={kind: fedcompass}", compute])
    assert key in str(error.value)
    assert "fedcompass gives clients steps by the time that one takes" in str(error.value)


def test_a_run_learns_in_groups(tmp_path: Path) -> None:
    settings = [
        "strategy={kind: fedcompass, min_steps: 1, max_steps: 5}",
        "clients.compute={seconds_per_step: {dist: lognorm, s: 0.5, scale: 1}}",
        "stop={versions: 12}",
    ]
    found = simulate(load_scenario(SMALLEST, settings))
    assert found.summary["versions"] == 12
    assert found.summary["updates"]["aggregated"] > 12
    assert found.summary["final"]["loss"] < 2.3  # that of guessing


def test_check_finds_limits_in_the_wrong_order() -> None:
    assert [path for path, _ in FedCompass(min_steps=9, max_steps=8).check(4)] == [("min_steps",)]
    assert not list(FedCompass(min_steps=8, max_steps=8).check(4))
