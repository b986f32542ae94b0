"""Orders and groups of many rows, which are found without comparing where that is possible."""

import numpy as np
import pytest

from afl_sim.recording import tasks
from afl_sim.recording.ordering import stable_order


@pytest.mark.parametrize("count", [0, 1, 3000])
@pytest.mark.parametrize("largest", [0, 40, 70_000, 1 << 31, 1 << 40, (1 << 62) - 1])
@pytest.mark.parametrize("least", [-3, 0, 1 << 50])
def test_the_order_is_the_stable_one(count, largest, least):
    keys = least + np.random.default_rng(1).integers(0, largest, count, endpoint=True)
    assert stable_order(keys).tolist() == np.argsort(keys, kind="stable").tolist()


@pytest.mark.parametrize(
    ("clients", "first", "numbers"),
    [
        (1, 0, 1),
        (30, 0, 40),
        (30, 5_000_000, 40),
        (500, -1, 9),
        (3, 0, 1 << 40),  # too far apart for a list
        (1 << 40, 0, 3),
        (1 << 62, 0, (1 << 63) - 1),
    ],
)
def test_rows_of_a_task_are_grouped_with_room_for_all_and_without(clients, first, numbers):
    rng = np.random.default_rng(2)
    pairs = np.stack(
        [rng.integers(-1, clients, 200), first + rng.integers(0, numbers, 200)], axis=1
    )
    client, task = pairs[rng.integers(0, 200, 1000)].T
    places = {}
    expected = [places.setdefault(pair, len(places)) for pair in zip(client, task, strict=True)]
    for room in (8, 0):
        group_of, groups = tasks._groups(client, task, room)
        assert 0 <= group_of.min() <= group_of.max() < groups
        names = {}
        assert [names.setdefault(group, len(names)) for group in group_of] == expected
