"""The schedules of one small scenario under each strategy, as they were when last looked at.

The digests change when anything about virtual time, the random streams or a strategy's schedule
does. Where that is meant, write them anew, and say in the commit why they changed:

    python tests/support/golden_schedules.py
"""

from __future__ import annotations

import json
from typing import Any

from places import TESTS

from afl_sim.recording import Run
from afl_sim.run.api import simulate
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Scenario, ValidationContext

FILE = TESTS / "golden" / "schedules.json"

STRATEGIES: dict[str, dict[str, Any]] = {
    "fedavg": {"clients_per_round": 4, "over_selection": 0.5},
    "fedprox": {
        "clients_per_round": 5,
        "stragglers": 0.4,
        "straggler_epochs": 3,
        "deadline": 6.0,
    },
    "fedasync": {"concurrency": 5, "max_staleness": 6},
    "fedasmu": {"concurrency": 6, "staleness_limit": 12},
    "fedbuff": {"concurrency": 6, "buffer_size": 3},
    "ringmaster": {"concurrency": "all", "delay_threshold": 8},
    "quafl": {"clients_per_round": 3, "local_steps": 6, "interaction_seconds": 2.0},
    "fedat": {"tiers": 3, "clients_per_round": 2},
    "asyncsgd": {"concurrency": 7},
    "generalized_asyncsgd": {"concurrency": 15, "sampling": "speed"},
    "optimized_asyncsgd": {},
    "delay_adaptive": {"concurrency": 7},
    "rennala": {"batch_size": 5},
    "mindflayer": {"concurrency": 6, "trials": 2, "allotted_seconds": 8.0},
    "shadowheart": {"concurrency": 6, "noise": 5.0},
    "rennala_mvr": {"batch_size": 4, "first_batch_size": 9},
    "ata": {"concurrency": 6, "batch_size": 8, "alpha": 0.05},
    "malenia": {"late": "discard"},
    "ringleader": {},
    "ia2sgd": {},
    "aced": {"staleness_limit": 9},
    "dude_asgd": {"workers_per_step": 3},
    "rescaled_asgd": {},
    "async_weighted": {},
    "area": {"buffer_size": 3},
    "fedfa": {"concurrency": 6, "queue_size": 4},
    "fedcompass": {"min_steps": 2, "max_steps": 9},
    "fedqueue": {
        "round_seconds": 9.0,
        "safety_seconds": 1.0,
        "warm_up_steps": 3,
        "admission": 0.01,
    },
    "fedfix": {"interval": 3.0},
    "ca2fl": {"concurrency": 6, "buffer_size": 3},
    "fadas": {"concurrency": 6, "buffer_size": 3},
    "fedstaleweight": {"concurrency": 6, "buffer_size": 3},
    "momentum_approximation": {"concurrency": 6, "buffer_size": 3},
    "fedac": {"concurrency": 6, "buffer_size": 3},
    "fedpsa": {"concurrency": 6, "buffer_size": 3, "window": 6},
    "mifa": {"clients_per_round": 4},
    "scaffold": {"clients_per_round": 4},
    "feddyn": {"clients_per_round": 4},
    "tifl": {"tiers": 3, "clients_per_round": 3},
    "flanp": {"initial_clients": 2, "stage_rounds": 3},
    "favas": {"clients_per_round": 3, "local_steps": 6},
    "port": {"concurrency": 6, "buffer_size": 2, "staleness_bound": 3},
    "asofed": {"concurrency": 6},
    "safa": {"clients_per_round": 4, "lag_tolerance": 2},
}


def scenario(kind: str) -> Scenario:
    """Twelve clients, three ways of being slow, and something of every kind of draw."""
    return Scenario.model_validate(
        {
            "name": f"golden-{kind}",
            "seed": 2024,
            "data": {"partition": {"kind": "iid", "samples": 50}},
            "model": "lenet",
            "training": {"epochs": {"dist": "randint", "low": 1, "high": 4}, "batch_size": 20},
            "clients": {
                "count": 12,
                "compute": {
                    "seconds_per_step": {"dist": "lognorm", "s": 0.8, "scale": 0.5},
                    "jitter": {"dist": "gamma", "a": 4, "scale": 0.25},
                    "jitter_per": "step" if kind in ("quafl", "favas") else "task",
                    "jitter_seconds": {"dist": "halfnorm", "scale": 0.1},
                },
                "network": {
                    "download": {"latency": 0.05, "bandwidth": 1e6},
                    "upload": {
                        "latency": {"dist": "uniform", "loc": 0.01, "scale": 0.1},
                        "bandwidth": {"dist": "lognorm", "s": 0.8, "scale": 2e5},
                    },
                },
            },
            "server": {"aggregation_seconds": {"dist": "expon", "scale": 0.02}},
            "strategy": {"kind": kind, **STRATEGIES[kind]},
            "evaluation": {"every_seconds": 3},
            "recording": {"trace": False},
            "stop": {"updates": 60},
        },
        context=ValidationContext(catalogue()),
    )


def facts(run: Run) -> dict[str, Any]:
    """What is kept of a run: its digest, and figures that say where to look when it changes."""
    summary = run.summary
    return {
        "schedule_digest": summary["schedule_digest"],
        "virtual_seconds": summary["virtual_seconds"],
        "versions": summary["versions"],
        "updates": summary["updates"],
        "staleness": summary["staleness"],
    }


def golden() -> dict[str, dict[str, Any]]:
    """The facts as they were when last written."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def main() -> None:
    """Write the facts anew, and say which changed."""
    before = golden() if FILE.exists() else {}
    now = {kind: facts(simulate(scenario(kind), timing_only=True)) for kind in STRATEGIES}
    FILE.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    for kind, found in now.items():
        print(f"{kind:16s}{'the same' if before.get(kind) == found else 'changed'}")


if __name__ == "__main__":
    main()
