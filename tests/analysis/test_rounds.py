"""The rounds of a run beside the same counted one by one."""

from collections import defaultdict

import numpy as np
import pytest

from afl_sim.analysis.rounds import Rounds


def tasks_of(rng, count, versions):
    sent = rng.integers(0, 50, count)
    return {
        "client": rng.integers(0, 9, count),
        "version": rng.integers(1, versions, count),
        "dispatched": sent,
        "arrived": sent + rng.integers(0, 4, count),  # many of equal length
        "aggregated": np.where(rng.random(count) < 0.9, 99, -1),
    }


def one_by_one(parts):
    """By version: how many, their sum, the longest, the next one, whose is the last of the
    longest, and when the first and the last were sent."""
    rows = defaultdict(list)
    for part in parts:
        for task in zip(*(column.tolist() for column in part.values()), strict=True):
            client, version, sent, arrived, used = task
            if used >= 0:
                rows[version].append((arrived - sent, client, sent))
    found = []
    for version, mine in sorted(rows.items()):
        lengths = [spent for spent, _, _ in mine]
        last = max(range(len(mine)), key=lambda row: (lengths[row], row))
        others = [*lengths[:last], *lengths[last + 1 :], -1]
        moments = [sent for _, _, sent in mine]
        longest = (lengths[last], max(others), mine[last][1])
        found.append((version, len(mine), sum(lengths), *longest, min(moments), max(moments)))
    return found


@pytest.mark.parametrize("versions", [2, 6, 300])
def test_versions_have_their_longest_task_and_the_next_one(versions):
    rng = np.random.default_rng(versions)
    parts = [tasks_of(rng, count, versions) for count in (1, 60, 200, 7)]
    rounds = Rounds()
    for part in parts:
        rounds.add(part)
    found = list(zip(*(column.tolist() for column in rounds._rows.values()), strict=True))
    assert found == one_by_one(parts)
