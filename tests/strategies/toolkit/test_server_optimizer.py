"""A server optimizer in place of a strategy's own step, worked out by hand.

A lone client of the toy has its optimum t at (3, 1, -1) and begins at (1, -2, 0.5), so that
t - w = (2, 3, -1.5). Its local training leaves 0.7^4 = 0.2401 of what was between it and t.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import SMALLEST
from torch import Tensor, nn
from vectors import assert_is

from afl_sim.errors import ScenarioError
from afl_sim.execution.runner import begin
from afl_sim.execution.tasks import TrainingTask
from afl_sim.global_model.server_model import ServerModel
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.preparation import prepare
from afl_sim.strategies import Population, Strategy, Update, strategies
from afl_sim.strategies.purity import PurityCheck
from afl_sim.streams import Streams
from afl_sim.testing import Case
from afl_sim.testing.toy import executor_of, learner_of, turn


def model_after(versions: int, kind: str, optimizer: dict[str, Any], **settings: Any) -> Tensor:
    strategy = strategies()[kind](server_optimizer=optimizer, **settings)
    case = Case(strategy, clients=1, versions=versions)
    vector = turn(case, learner_of(case, executor_of(1, "same"))).vector
    assert vector is not None
    return vector


def test_momentum_goes_on_where_the_rule_has_moved() -> None:
    # The rule moves by (t - w)/2. v = (2, 3, -1.5)/2; then v = v/2 + a quarter of it: w is at t.
    momentum = {"kind": "SGD", "lr": 1.0, "momentum": 0.5}
    assert_is(model_after(1, "ringmaster", momentum, lr=0.5), 2, -0.5, -0.25)
    assert_is(model_after(2, "ringmaster", momentum, lr=0.5), 3, 1, -1)


def test_fedadagrad_steps_by_the_share_of_this_move_in_all_moves() -> None:
    # The rule replaces w: moves of 0.7599 (t - w), whose factor cancels. First 0.1 sign(t - w);
    # then 0.1 d2 / sqrt(d1^2 + d2^2) with d1 = (2, 3, 1.5), d2 = (1.9, 2.9, 1.4).
    adagrad = {"kind": "FedAdagrad", "lr": 0.1, "tau": 1e-9}
    first = model_after(1, "fedasync", adagrad, concurrency=1, alpha=1)
    assert_is(first, 1.1, -1.9, 0.4, tolerance=1e-5)
    second = model_after(2, "fedasync", adagrad, concurrency=1, alpha=1)
    assert_is(second, 1.168874, -1.830498, 0.331768, tolerance=1e-5)


def test_fedadam_has_both_moments_of_the_move() -> None:
    # Moves (1, 1.5, -0.75): m = half of them, v = (0.1^2 + move^2)/2, and 0.1 m / (sqrt(v) + 0.1).
    adam = {"kind": "FedAdam", "lr": 0.1, "betas": [0.5, 0.5], "tau": 0.1}
    assert_is(model_after(1, "malenia", adam, lr=0.5), 1.061680, -1.935512, 0.440947)


@pytest.mark.parametrize(
    "kind",
    [
        *("fadas", "favas", "fedat", "feddyn", "quafl", "safa"),
        *("aced", "area", "fedfa", "rescaled_asgd", "momentum_approximation", "optimized_asyncsgd"),
        *("rennala_mvr", "fedac"),
    ],
)
def test_a_rule_that_needs_a_step_of_its_own_takes_none(kind: str) -> None:
    with pytest.raises(ScenarioError, match=f"{kind} takes none"):
        strategies()[kind](server_optimizer="FedAdam")


# -- as torch does it, tensor by tensor ------------------------------------------------------------

MORE: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}],
    "Adam": [{"amsgrad": True}],
    "AdamW": [{"amsgrad": True}],
    "RMSprop": [{"centered": True, "momentum": 0.9}],
    "NAdam": [{"decoupled_weight_decay": True, "weight_decay": 0.1}],
}
SETTINGS = [
    (kind, {"lr": 0.05, **({"weight_decay": 0.1} if "weight_decay" in spec.model_fields else {})})
    for kind, spec in OPTIMIZERS.items()
] + [(kind, {"lr": 0.05, **more}) for kind, all_of in MORE.items() for more in all_of]


def partly_frozen() -> nn.Module:
    """Parameters of one, two and four dimensions, some of them frozen; and buffers."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 2)
    )
    for parameter in (*model[0].parameters(), model[3].bias):
        parameter.requires_grad_(False)
    return model


def updates_of(base: Tensor, count: int, trained: Tensor) -> list[Update]:
    """Updates of two clients, which have moved what is trained."""
    found = []
    for client in range(2):
        draws = Streams(5).generator("test", client, count).normal(size=len(base))
        delta = torch.where(trained, torch.from_numpy(draws).float() / 10, 0.0)
        found.append(Update(client, 0, 0, 1 + 2 * client, 1, delta, base + delta, 1.0))
    return found


def mask(model: nn.Module) -> Tensor:
    """Which entries of the vector of parameters are trained."""
    return torch.cat([torch.full((p.numel(),), p.requires_grad) for p in model.parameters()])


@pytest.mark.parametrize(
    ("strategy", "kind", "settings"),
    [("fedbuff", *each) for each in SETTINGS]
    + [(rule, *SETTINGS[0]) for rule in ("fedavg", "ca2fl", "asyncsgd", "rennala", "scaffold")],
)
def test_the_servers_optimizer_is_torchs_on_the_module(
    strategy: str, kind: str, settings: dict[str, Any]
) -> None:
    model = partly_frozen()
    layout, trained = ParameterVector(model), mask(model)
    count = layout.num_parameters
    rule = strategies()[strategy](server_optimizer={"kind": kind, **settings})
    server = ServerModel(rule, layout.read(model), layout, Population(2, lambda client: 1))
    optimizer = OPTIMIZERS[kind].optimizer(model.parameters(), **settings)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for version in range(4):
        params, updates = server.vector[:count], updates_of(server.vector[:count], version, trained)
        direction, _ = rule.direction(params, server.state, updates, {})
        parts = layout.named(torch.cat([-direction, server.vector[count:]]))
        for name, parameter in model.named_parameters():
            parameter.grad = parts[name].clone() if parameter.requires_grad else None
        optimizer.step()
        assert server.aggregate(updates, [server.vector] * 2, {})
        found = layout.named(server.vector)
        for name, parameter in model.named_parameters():
            assert torch.equal(found[name], parameter.detach()), (name, version)
            assert torch.equal(found[name], before[name]) != parameter.requires_grad, name


@pytest.mark.parametrize("kind", sorted(strategies()))
def test_no_rule_moves_frozen_parameters(kind: str) -> None:
    # Not even by rounding: a third of a number three times over is not the number.
    model = partly_frozen()
    layout, trained = ParameterVector(model), mask(model)
    count = layout.num_parameters
    rule: Any = strategies()[kind](**FEWEST.get(kind, {}))
    initial = layout.read(model)
    server = ServerModel(rule, initial, layout, Population(3, lambda client: 1 + client))
    frozen = initial[:count][~trained]
    for version in range(4):
        contexts = {
            "phase": 1, "tier": 0, "factor": 1.0, "active": 2, "seed": version,
            "step": {0: 1.0, 1: 1.0}, "slowness": {0: 1.0, 1: 1.0}, "periods": {0: 1, 1: 1},
            "alpha": {0: 1.5, 1: 0.7}, "version": version, "picked": [0, 1], "deprecated": [],
            "going_on": {0: version}, "recent": [version], "weights": {0: 1.0, 1: 0.3},
        }  # fmt: skip
        base, updates = server.vector, []
        for client in range(2):
            begun = begin(
                TrainingTask(client, version, 1, base, 1.0, (rule, server.state)),
                None if version == 0 else base * 1.001,
                layout,
                None,
                PurityCheck(Strategy),
            )
            assert torch.equal(begun.start[:count][~trained], frozen)
            (update,) = updates_of(begun.start[:count], version, trained)[:1]
            updates.append(replace(update, client=client, num_samples=1 + client))
        if kind == "fedasmu":  # which takes one update at a time
            updates = updates[:1]
        assert server.aggregate(updates, [base] * len(updates), contexts)
        assert torch.equal(server.vector[:count][~trained], frozen)
        assert not torch.equal(server.vector[:count][trained], initial[:count][trained])


FEWEST: dict[str, dict[str, Any]] = {
    "fedat": {"tiers": 1, "clients_per_round": 2},
    "tifl": {"tiers": 1, "clients_per_round": 2},
    "quafl": {"clients_per_round": 2, "bits": 8},
    "favas": {"clients_per_round": 2},
}


def test_a_run_leaves_a_frozen_layer_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_frozen.py").write_text(
        "from torch import nn\n"
        "def factory(input_shape, classes):\n"
        "    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))\n"
        "    model[1].requires_grad_(False)\n"
        "    return model\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    optimizer = "{kind: AdamW, lr: 0.01, weight_decay: 0.5}"
    settings = [
        "model={kind: 'half_frozen:factory'}",
        f"strategy={{kind: fedavg, clients_per_round: 2, server_optimizer: {optimizer}}}",
    ]
    built = load_scenario(SMALLEST, [*settings, "stop={updates: 8}"])
    initial = prepare(built)
    before, after = initial.layout.named(initial.initial), simulate(built).model()
    for name, tensor in before.items():
        assert np.array_equal(after[name], tensor.numpy()) == name.startswith("1."), name
