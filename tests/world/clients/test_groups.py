"""Groups of clients in virtual time: each client lives by the laws of its group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from world_runs import MODEL_BYTES, SAMPLES, SECOND, run, scenario

from afl_sim.scenario.sections.group_members import members
from afl_sim.streams import Streams

FAST = {"name": "fast", "share": 0.5, "compute": {"seconds_per_sample": 0.1}}
SLOW = {"name": "slow", "share": 0.5, "compute": {"seconds_per_step": 7}}


def world(groups: list[dict[str, Any]], clients: int = 6, **more: Any) -> Any:
    fleet = {"groups": groups, **more.pop("fleet", {})}
    return scenario(clients, fleet=fleet, **more)


def of(made: Any, index: int) -> list[int]:
    """The clients of a group, in their order."""
    found = members(made.clients.groups, made.clients.count, Streams(made.seed))
    return [client for client, group in enumerate(found.tolist()) if group == index]


def everyone_once(server: Any) -> Iterator[Any]:
    yield server.wait(server.dispatch(range(server.clients), steps=1))


def arrivals(made: Any, schedule: Any = everyone_once, **more: Any) -> dict[int, float]:
    return {e.client: e.time_us / SECOND for e in run(made, schedule, **more).of("arrived")}


def test_each_client_computes_at_its_groups_speed() -> None:
    made = world([FAST, SLOW])
    at = arrivals(made)
    assert {at[client] for client in of(made, 0)} == {0.1 * SAMPLES}
    assert {at[client] for client in of(made, 1)} == {7.0}
    assert len(of(made, 0)) == len(of(made, 1)) == 3


def test_each_client_has_its_groups_links() -> None:
    thin = {"name": "thin", "share": 0.5, "network": {"upload": {"bandwidth": MODEL_BYTES / 4}}}
    made = world([thin, {"name": "thick", "share": 0.5}], compute={"seconds_per_task": 1})
    at = arrivals(made)
    assert {at[client] for client in of(made, 0)} == {5.0}
    assert {at[client] for client in of(made, 1)} == {1.0}


def test_a_list_is_of_the_groups_clients_in_their_order() -> None:
    listed = {**FAST, "compute": {"seconds_per_task": {"values": [1, 2, 3]}}}
    made = world([listed, SLOW])
    at = arrivals(made)
    assert [at[client] for client in of(made, 0)] == [1, 2, 3]


def test_a_shuffled_list_is_shuffled_within_the_group() -> None:
    listed = {"seconds_per_task": {"values": [1, 2, 3], "shuffle": True}}
    found = set()
    for seed in range(6):
        made = world([{**FAST, "compute": listed}, SLOW], seed=seed)
        at = arrivals(made)
        found.add(tuple(at[client] for client in of(made, 0)))
    assert all(sorted(each) == [1, 2, 3] for each in found)
    assert len(found) > 1


def test_the_rows_of_a_trace_of_devices_are_the_groups_clients(tmp_path: Path) -> None:
    trace = tmp_path / "devices.csv"
    trace.write_text("seconds_per_task\n4\n5\n6\n")
    devices = {"trace": str(trace), "by": "client"}
    made = world([{"name": "measured", "share": 0.5, "devices": devices}, SLOW])
    at = arrivals(made)
    assert [at[client] for client in of(made, 0)] == [4, 5, 6]


def test_only_the_clients_of_a_group_are_away() -> None:
    night = {"kind": "on_off", "on": {"sequence": [1, 1e6]}, "off": {"sequence": [50, 1]}}
    made = world([{"name": "a", "share": 0.5, "availability": night}, SLOW], clients=4)

    def schedule(server: Any) -> Iterator[Any]:
        yield server.sleep(10)
        assert set(server.pick(4)) == set(of(made, 1))
        yield server.sleep(60)
        assert set(server.pick(4)) == set(range(4))

    run(made, schedule)


def test_each_group_leaves_in_its_own_way() -> None:
    leaves = {"on": 3, "off": 2, "kind": "on_off"}
    groups = [
        {"name": how, "share": 0.25, "availability": {**leaves, "on_leave": how}}
        for how in ("lost", "paused", "finish", "partial")
    ]
    made = world(groups, clients=4, compute={"seconds_per_step": 1})

    def schedule(server: Any) -> Iterator[Any]:
        server.dispatch(range(4), steps=5, retry=False)
        yield server.sleep(30)

    outcome = run(made, schedule)
    at = {e.client: (e.time_us / SECOND, e.steps) for e in outcome.of("arrived")}
    lost, paused, finish, partial = (of(made, i)[0] for i in range(4))
    assert at == {paused: (7.0, 5), finish: (5.0, 5), partial: (3.0, 3)}
    assert [(e.client, e.time_us / SECOND) for e in outcome.of("failed")] == [(lost, 3.0)]


def test_only_the_tasks_of_a_group_crash() -> None:
    crashing = {"name": "frail", "share": 0.5, "faults": {"crash": 0.999999}}
    made = world([crashing, {"name": "sound", "share": 0.5}], compute={"seconds_per_task": 1})

    def schedule(server: Any) -> Iterator[Any]:
        server.dispatch(range(6), retry=False)
        yield server.sleep(30)

    outcome = run(made, schedule)
    assert {e.client for e in outcome.of("failed")} == set(of(made, 0))
    assert {e.client for e in outcome.of("arrived")} == set(of(made, 1))


def test_only_the_clients_of_a_group_are_slowed_down() -> None:
    hours = {"speed": [0.5], "period_seconds": 100}
    slowed = {"name": "a", "share": 0.5, "compute": {"hours": hours}}
    made = world([slowed, {"name": "b", "share": 0.5}], compute={"seconds_per_task": 4})
    at = arrivals(made)
    assert {at[client] for client in of(made, 0)} == {8.0}
    assert {at[client] for client in of(made, 1)} == {4.0}


def test_common_random_numbers_are_the_same_in_another_grouping() -> None:
    law = {"seconds_per_task": {"dist": "lognorm", "s": 1.0}}
    plain = arrivals(scenario(6, compute=law))
    alike = [{"name": name, "share": 0.5} for name in "ab"]
    assert arrivals(world(alike, compute=law)) == plain
    doubled = {
        **alike[0],
        "compute": {"seconds_per_task": {"dist": "lognorm", "s": 1.0, "scale": 2}},
    }
    made = world([doubled, alike[1]], compute=law)
    found = arrivals(made)
    for client in of(made, 0):
        assert abs(found[client] - 2 * plain[client]) <= 2e-6
    for client in of(made, 1):
        assert found[client] == plain[client]


def test_expected_round_trips_are_the_groups() -> None:
    made = world([FAST, SLOW])

    def schedule(server: Any) -> Iterator[Any]:
        seconds = [server.expected_seconds(client) for client in range(6)]
        assert {seconds[client] for client in of(made, 0)} == {0.1 * SAMPLES}
        assert {seconds[client] for client in of(made, 1)} == {7.0}
        yield server.sleep(1)

    run(made, schedule)
