"""Rules of other frameworks before the referee; skipped where a framework is not installed.

The table of docs/how-to/referee.md has the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from places import ROOT, SMALLEST

from afl_sim import load_scenario
from afl_sim.testing import Verdict, judge

SMALL = (
    "stop.updates=60",
    "data.partition={kind: dirichlet, alpha: 1.0, min_samples: 5}",
    "model={kind: mlp, hidden: [16]}",
    "evaluation={every_versions: 1000, samples: 20}",
    "training={steps: 3, batch_size: 10, optimizer: {kind: SGD, lr: 0.05}}",
    "clients.compute={seconds_per_task: {dist: lognorm, s: 0.7, scale: 0.5}}",
)
ADAPTIVE = "{{kind: {kind}, lr: 0.01, betas: [{first}, 0.99], tau: 0.001}}"
MOMENTUM = "{kind: SGD, lr: 0.5, momentum: 0.9}"
STALENESS = "staleness: {kind: polynomial, exponent: 0.5}"
POLYNOMIAL = {"staleness_fn": "polynomial", "staleness_fn_kwargs": {"a": 0.5}}


@pytest.fixture(autouse=True)
def _adapters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "referee"))
    yield
    for name in ("flower", "appfl", "nvflare", "fedlab", "fedml"):
        sys.modules.pop(f"{name}_rules", None)


def judged(strategy: str, rule: Callable[[Any], Any]) -> Verdict:
    return judge(load_scenario(SMALLEST, [*SMALL, f"strategy={{{strategy}}}"]), rule)


def averaged(optimizer: str = "null") -> str:
    return f"kind: fedavg, clients_per_round: 4, server_optimizer: {optimizer}"


def adaptive(kind: str, first: float = 0.9) -> str:
    return averaged(ADAPTIVE.format(kind=kind, first=first))


@pytest.mark.parametrize(
    ("name", "settings", "strategy", "parts_at"),
    [
        ("FedAvg", {}, averaged(), None),
        (
            "FedAvgM",
            {"server_learning_rate": 0.5, "server_momentum": 0.9},
            averaged(MOMENTUM),
            None,
        ),
        ("FedAdam", {"beta_1": 0.9, "beta_2": 0.99}, adaptive("FedAdam"), 1),
        ("FedYogi", {"beta_1": 0.9, "beta_2": 0.99}, adaptive("FedYogi"), 1),
        ("FedAdagrad", {}, adaptive("FedAdagrad", 0.0), 1),
    ],
)
def test_flower(name: str, settings: dict[str, Any], strategy: str, parts_at: int | None) -> None:
    strategies = pytest.importorskip("flwr.server.strategy")
    from flower_rules import flower

    if name not in ("FedAvg", "FedAvgM"):
        settings = {"eta": 0.01, "tau": 0.001, **settings}
    make = getattr(strategies, name)
    verdict = judged(strategy, flower(lambda begun: make(initial_parameters=begun, **settings)))
    check(verdict, 15, parts_at)


@pytest.mark.parametrize(
    ("name", "settings", "strategy", "versions", "parts_at"),
    [
        ("FedAvg", {}, averaged(), 15, 1),
        ("FedAvg", {"client_weights_mode": "sample_size"}, averaged(), 15, None),
        (
            "FedAdam",
            {
                "client_weights_mode": "sample_size",
                "server_learning_rate": 0.01,
                "server_adapt_param": 0.001,
                "server_momentum_param_1": 0.9,
                "server_momentum_param_2": 0.99,
            },
            adaptive("FedAdam"),
            15,
            None,
        ),
        (
            "FedAsync",
            {"alpha": 0.6, **POLYNOMIAL},
            f"kind: fedasync, concurrency: 5, alpha: 0.6, {STALENESS}",
            60,
            None,
        ),
        (
            "FedBuff",
            {"alpha": 1.0, "K": 3, **POLYNOMIAL},
            f"kind: fedbuff, concurrency: 5, buffer_size: 3, server_lr: 1.0, {STALENESS}",
            20,
            1,
        ),
        (
            "FedBuff",
            {"alpha": 1 / 3, "K": 3, **POLYNOMIAL},
            f"kind: fedbuff, concurrency: 5, buffer_size: 3, server_lr: 1.0, {STALENESS}",
            20,
            2,
        ),
    ],
)
def test_appfl(
    name: str, settings: dict[str, Any], strategy: str, versions: int, parts_at: int | None
) -> None:
    aggregators = pytest.importorskip("appfl.algorithm.aggregator")
    from appfl_rules import appfl

    verdict = judged(strategy, appfl(getattr(aggregators, f"{name}Aggregator"), **settings))
    check(verdict, versions, parts_at)
    if settings.get("alpha") == 1.0:
        assert verdict.parting is not None
        assert verdict.parting.ratio == pytest.approx(3.0, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "staleness", "parts_at"),
    [
        ({}, "staleness: constant", None),
        ({"global_lr": 0.5}, "server_lr: 0.5, staleness: constant", None),
        ({"staleness_weight": True}, STALENESS, 1),
    ],
)
def test_nvflare(settings: dict[str, Any], staleness: str, parts_at: int | None) -> None:
    pytest.importorskip("nvflare.edge.assessors.buff_model_manager")
    from nvflare_rules import nvflare

    strategy = f"kind: fedbuff, concurrency: 5, buffer_size: 3, {staleness}"
    verdict = judged(strategy, nvflare(3, **settings))
    check(verdict, 20, parts_at)
    if parts_at is not None:  # the first updates are fresh: 1 / (1 + 1) in place of 1
        assert verdict.parting is not None
        assert verdict.parting.ratio == pytest.approx(1 / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "staleness", "agrees"),
    [
        ({"strategy": "constant"}, "constant", True),
        ({"strategy": "polynomial", "a": 0.5}, "{kind: polynomial, exponent: 0.5}", True),
        ({"strategy": "hinge", "a": 10, "b": 4}, "{kind: hinge, a: 10, b: 4}", False),
        ({"strategy": "hinge", "a": 1, "b": 4}, "{kind: hinge, a: 1, b: 4}", True),
    ],
)
def test_fedlab(settings: dict[str, Any], staleness: str, agrees: bool) -> None:
    pytest.importorskip("fedlab.contrib.algorithm.basic_server")
    from fedlab_rules import fedlab

    strategy = f"kind: fedasync, concurrency: 5, alpha: 0.6, staleness: {staleness}"
    verdict = judged(strategy, fedlab(alpha=0.6, **settings))
    if agrees:
        check(verdict, 60, None)
    else:  # with the first update whose staleness is beyond b
        assert verdict.parting is not None, verdict
        assert verdict.parting.version > 5


def test_fedml() -> None:
    pytest.importorskip("fedml.simulation.mpi.async_fedavg.AsyncFedAVGAggregator")
    from fedml_rules import fedml

    strategy = "kind: fedasync, concurrency: 5, alpha: 0.5, staleness: constant"
    check(judged(strategy, fedml()), 60, 1)


def check(verdict: Verdict, versions: int, parts_at: int | None) -> None:
    if parts_at is None:
        assert verdict.agrees, verdict
        assert verdict.versions == versions
    else:
        assert verdict.parting is not None, verdict
        assert verdict.parting.version == parts_at, verdict
