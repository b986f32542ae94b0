"""Devices whose memory bounds what they can train."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afl_sim.errors import ScenarioError
from afl_sim.global_model.null import NullLearner
from afl_sim.learning.data.batch_sizes import batch_sizes
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.building import world_of
from afl_sim.run.memory import batches_that_fit, check_fit, clients_without_room
from afl_sim.run.recipe import recipe_of
from afl_sim.run.validation import check_study
from afl_sim.world.clients.memory import room
from afl_sim.world.event_kinds import ARRIVED, DISPATCHED

FILE = """
seed: 4
data: {partition: {kind: iid, samples: 10}}
model: logistic
training: {batch_size: BATCH, epochs: 1}
clients:
  count: COUNT
  memory: MEMORY
  compute: {seconds_per_step: 1}
MORE
strategy: {kind: fedavg, clients_per_round: COUNT}
evaluation: {samples: 50}
stop: {versions: 2}
"""
# Logistic regression on MNIST: 7,850 parameters and as many gradients; 784 inputs a sample.
HELD, KEPT = 4 * 2 * 7850, 4 * 784
SIZES = np.full(4, 10)


def load(folder: Path, memory: str, *, batch: str = "10", count: int = 4, more: str = "") -> Any:
    text = FILE.replace("BATCH", batch).replace("COUNT", str(count))
    file = folder / "memory.yaml"
    file.write_text(text.replace("MEMORY", memory).replace("MORE", more))
    return load_scenario(file)


def refusal(made: Any, sizes: Any = SIZES) -> str:
    with pytest.raises(ScenarioError) as caught:
        check_fit(made, sizes)
    (line,) = str(caught.value).splitlines()
    return line


def events(made: Any, kind: int) -> list[tuple[float, int, int]]:
    """(seconds, client, steps) of the rows of a kind."""
    found = []

    def log(time_us: int, what: int, client: int, *rest: Any) -> None:
        if what == kind:
            found.append((time_us / 1e6, client, rest[5]))

    world_of(made, lambda client: 10, (1, 0), NullLearner(), log).run()
    return found


def test_a_byte_decides_whether_a_step_fits(tmp_path: Path) -> None:
    needed = HELD + 10 * KEPT
    assert needed == 94_160
    check_fit(load(tmp_path, f"{needed}"), SIZES)
    line = refusal(load(tmp_path, f"{{values: [1 GB, 1 MB, {needed - 1}, {needed}]}}"))
    assert line == (
        "clients.memory: client 2 has 94.16 kB, but a step on 10 samples needs 94.16 kB (62.8 kB "
        "for parameters, gradient and optimizer, 31.36 kB for what the layers keep); 1 of 4 "
        "clients have too little; expected at least 94.16 kB, a smaller training.batch_size or "
        "model, or too_small: smaller_batch or absent"
    )
    assert batches_that_fit(load(tmp_path, "1 MB")) is None


def test_a_state_of_the_optimizer_and_an_anchor_need_memory_too(tmp_path: Path) -> None:
    adam = "training: {batch_size: 10, epochs: 1, optimizer: {kind: Adam, lr: 0.1}, proximal: 1}"
    file = tmp_path / "adam.yaml"
    load(tmp_path, f"{HELD + 3 * 4 * 7850 + 10 * KEPT}")
    text = (tmp_path / "memory.yaml").read_text()
    file.write_text(text.replace("training: {batch_size: 10, epochs: 1}", adam))
    made = load_scenario(file)
    check_fit(made, SIZES)
    less = made.clients.memory.model_copy(
        update={"bytes": load(tmp_path, "188359").clients.memory.bytes}
    )
    clients = made.clients.model_copy(update={"memory": less})
    assert "needs 188.4 kB" in refusal(made.model_copy(update={"clients": clients}))


def test_a_second_gradient_needs_memory_for_its_model_and_for_the_first(tmp_path: Path) -> None:
    needed = HELD + 2 * 4 * 7850 + 10 * KEPT
    for memory in (needed, needed - 1):
        load(tmp_path, f"{memory}")
        file = tmp_path / "memory.yaml"
        text = file.read_text().replace("fedavg, clients_per_round: 4", "rennala_mvr")
        file.write_text(text.replace("epochs: 1", "steps: 1"))
        made = load_scenario(file)
        if memory == needed:
            check_fit(made, SIZES)
        else:
            assert "needs 157 kB" in refusal(made)


def test_a_newer_model_needs_memory_beside_the_clients_own(tmp_path: Path) -> None:
    needed = HELD + 4 * 7850 + 10 * KEPT
    for memory in (needed, needed - 1):
        load(tmp_path, f"{memory}")
        file = tmp_path / "memory.yaml"
        text = file.read_text().replace("fedavg, clients_per_round: 4", "fedasmu, concurrency: 4")
        file.write_text(text)
        made = load_scenario(file)
        if memory == needed:
            check_fit(made, SIZES)
        else:
            assert "needs 125.6 kB" in refusal(made)


def test_smaller_batches_take_more_steps(tmp_path: Path) -> None:
    law = f"{{values: [1 GB, {HELD + 4 * KEPT}, {HELD + 10 * KEPT - 1}, {HELD + KEPT}]}}"
    made = load(tmp_path, f"{{bytes: {law}, too_small: smaller_batch}}")
    check_fit(made, SIZES)
    most = batches_that_fit(made)
    assert most is not None
    assert most[1:].tolist() == [4, 9, 1]
    assert sorted(events(made, ARRIVED)[:4]) == [(1, 0, 1), (2, 2, 2), (3, 1, 3), (10, 3, 10)]
    full = load(tmp_path, f"{{bytes: {law}, too_small: smaller_batch}}", batch="full")
    assert sorted(events(full, ARRIVED)[:4]) == [(1, 0, 1), (2, 2, 2), (3, 1, 3), (10, 3, 10)]


@pytest.mark.parametrize("mode", ["exact", "batched"])
def test_a_smaller_batch_trains_as_that_batch_size_does(tmp_path: Path, mode: str) -> None:
    digests = set()
    for batch, memory in (("4", "1 GB"), ("10", f"{HELD + 4 * KEPT}")):
        made = load(tmp_path, f"{{bytes: {memory}, too_small: smaller_batch}}", batch=batch)
        numerics = made.numerics.replace(mode=mode)
        made = made.model_copy(update={"numerics": numerics})
        run = simulate(made, tmp_path / f"{batch}-{mode}")
        digests.add((run.summary["schedule_digest"], run.summary["model_digest"]))
    assert len(digests) == 1


def test_workers_get_the_bounds(tmp_path: Path) -> None:
    made = load(tmp_path, f"{{bytes: {HELD + 4 * KEPT}, too_small: smaller_batch}}")
    recipe = pickle.loads(pickle.dumps(recipe_of(made)))
    assert recipe.most.tolist() == [4] * 4


def test_not_even_one_sample_is_refused_with_the_least_need(tmp_path: Path) -> None:
    made = load(tmp_path, f"{{bytes: {HELD}, too_small: smaller_batch}}")
    line = refusal(made)
    assert "a step on 1 sample needs 65.94 kB" in line
    assert "4 of 4 clients have too little; expected at least 65.94 kB" in line
    assert line.endswith("or too_small: absent")


def test_absent_clients_are_never_sent_a_task(tmp_path: Path) -> None:
    law = f"{{values: [1 GB, 10 kB, 1 GB, {HELD + 10 * KEPT - 1}]}}"
    made = load(tmp_path, f"{{bytes: {law}, too_small: absent}}")
    check_fit(made, SIZES)
    absent = clients_without_room(made, lambda client: 10)
    assert absent is not None
    assert absent.tolist() == [False, True, False, True]
    # A client with fewer samples has smaller steps, which fit.
    fewer = clients_without_room(made, lambda client: 9)
    assert fewer is not None
    assert fewer.tolist() == [False, True, False, False]
    two = made.strategy.model_copy(update={"clients_per_round": 2})
    made = made.model_copy(update={"strategy": two})
    assert {client for _, client, _ in events(made, DISPATCHED)} == {0, 2}


def test_the_memory_of_clients_is_drawn_once_in_a_run(tmp_path: Path, monkeypatch: Any) -> None:
    drawn = []

    def counted(*asked: Any) -> Any:
        drawn.append(asked)
        return room(*asked)

    monkeypatch.setattr("afl_sim.run.memory.room", counted)
    made = load(tmp_path, "{bytes: {dist: uniform, loc: 1e6, scale: 1e6}, too_small: absent}")
    simulate(made)
    assert len(drawn) == 1


def test_absent_clients_use_no_energy(tmp_path: Path) -> None:
    law = f"{{values: [1 GB, 10 kB, 1 GB, {HELD + 10 * KEPT - 1}]}}"
    power = "  power: {download: 0, compute: 0, upload: 0, idle: {values: [1, 10, 100, 1000]}}\n"
    made = load(tmp_path, f"{{bytes: {law}, too_small: absent}}", more=power)
    two = made.strategy.model_copy(update={"clients_per_round": 1})
    made = made.model_copy(update={"strategy": two})
    found = simulate(made, timing_only=True).summary["energy_joules"]
    # Two rounds of a second: in each of them one of clients 0 and 2 computes.
    assert found["idle"] in (2, 101, 200)


def test_memory_that_nobody_meets_names_the_least_need(tmp_path: Path) -> None:
    made = load(tmp_path, "{bytes: 50 kB, too_small: absent}")
    assert refusal(made).startswith(
        "clients.memory: nobody can take part: the most is 50 kB, but a step on 10 samples needs "
        "94.16 kB"
    )


def test_groups_and_tables_have_memories_of_their_own(tmp_path: Path) -> None:
    more = """  groups:
    - {name: a, count: 2, memory: {too_small: absent}}
    - {name: b, count: 2, memory: 80 kB}
"""
    made = load(tmp_path, "{bytes: 1 GB, too_small: smaller_batch}", more=more)
    first, second = made.clients.groups
    assert first.memory.too_small == "absent"
    assert first.memory.bytes.constant == 1e9
    assert (second.memory.bytes.constant, second.memory.too_small) == (80_000, "smaller_batch")
    most = batches_that_fit(made)
    assert most is not None
    assert sorted(most.tolist())[:2] == [(80_000 - HELD) // KEPT] * 2
    (tmp_path / "phones.csv").write_text("memory_kB,seconds_per_task\n95,1\n80,2\n95,1\n80,1\n")
    devices = "  devices: {trace: phones.csv, by: client}\n"
    made = load(tmp_path, "{too_small: absent}", more=devices)
    absent = clients_without_room(made, lambda client: 10)
    assert absent is not None
    assert absent.tolist() == [False, True, False, True]
    assert "client 1 has 80 kB" in refusal(load(tmp_path, "null", more=devices))


@pytest.mark.parametrize(
    ("memory", "told"),
    [
        ("0", "memory.bytes: can be 0; expected"),
        ("4 Gb", "got '4 Gb', but 'Gb' is no unit here; expected bytes"),
        ("4 gb", "did you mean 'GB'?"),
        ("{too_small: absent}", "memory: does not say how much there is; expected bytes"),
        ("{bytes: 1 GB, too_small: smaller}", "did you mean 'smaller_batch'"),
    ],
)
def test_what_is_no_memory_is_refused_by_line(memory: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, memory)
    (line,) = str(caught.value).splitlines()
    assert "memory.yaml:8: clients.memory" in line
    assert told in line


def test_validation_finds_a_memory_that_is_too_small(tmp_path: Path) -> None:
    load(tmp_path, "80 kB")
    with pytest.raises(ScenarioError, match=r"memory\.yaml:8: clients\.memory: client 0 has 80 kB"):
        check_study(tmp_path / "memory.yaml")


def test_the_sizes_of_bounded_batches_are_known() -> None:
    held, most = np.array([10, 7, 3, 10]), np.array([4, 100, 2, 4])
    assert batch_sizes(held, 5, False, most) == {1: (2, 3), 2: (0, 10), 4: (0, 10), 5: (1, 7)}
    assert batch_sizes(held, None, False, most) == {1: (2, 3), 2: (0, 10), 4: (0, 10), 7: (1, 7)}
