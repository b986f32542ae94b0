"""The schedule of long tasks with heavy tails, as a digest: a last bit of a draw is a microsecond.

python tests/support/long_tasks.py     prints it
"""

from __future__ import annotations

import json

from world_runs import run, scenario

UPDATES = 20_000
GOLDEN = {"fisk": "5dbfdfbe25b9e142"}
"""As it was when last looked at; see golden_schedules.py."""


def digest() -> str:
    """The schedule digest of many tasks of about 10^6 seconds each."""
    fleet = scenario(
        100,
        strategy={"kind": "fedasync", "concurrency": 20},
        compute={"seconds_per_task": 1e6, "jitter": {"dist": "fisk", "c": 3.0}},
        stop={"updates": UPDATES},
    )
    return run(fleet).schedule_digest[:16]


if __name__ == "__main__":
    print(json.dumps({"fisk": digest()}))
