"""Every torch optimizer by name, on the client and as a pure step of the server."""

from __future__ import annotations

import pytest
import torch
from pydantic import BaseModel, ValidationError
from vectors import vec

from afl_sim.learning.optimizers import OPTIMIZERS, AnyOptimizer
from afl_sim.strategies.server_optimizer import server_step

UPDATES = [vec(1.0, -2.0, 0.5), vec(0.3, 0.3, -1.0), vec(-2.0, 0.0, 0.1), vec(0.5, 0.5, 0.5)]


class Holder(BaseModel):
    """A section with a field for an optimizer."""

    optimizer: AnyOptimizer | None = None


def test_the_usual_optimizers_are_there_and_those_that_need_more_than_a_gradient_are_not() -> None:
    assert {"SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "NAdam", "Adamax"} <= set(OPTIMIZERS)
    assert not {"LBFGS", "SparseAdam", "Optimizer"} & set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_defaults_are_those_of_torch(name: str) -> None:
    weights = [torch.zeros(2, requires_grad=True)]
    ours, theirs = OPTIMIZERS[name]().build(weights), getattr(torch.optim, name)(weights)
    assert type(ours) is type(theirs)
    for key, value in theirs.param_groups[0].items():
        if key != "params":
            assert ours.param_groups[0][key] == value, key


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_factor_multiplies_the_learning_rate_only(name: str) -> None:
    weights = [torch.zeros(2, requires_grad=True)]
    spec = OPTIMIZERS[name](lr=0.5)
    group, scaled = (spec.build(weights, factor).param_groups[0] for factor in (1.0, 0.25))
    assert scaled["lr"] == 0.125
    assert {k: v for k, v in group.items() if k not in ("lr", "params")} == {
        k: v for k, v in scaled.items() if k not in ("lr", "params")
    }
    assert spec.lr == 0.5


def test_arguments_reach_torch() -> None:
    spec = OPTIMIZERS["SGD"](lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    group = spec.build([torch.zeros(1, requires_grad=True)]).param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.1, 0.9, True)
    assert group["weight_decay"] == 1e-4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_stepping_from_a_carried_state_is_one_optimizer_that_never_stopped(name: str) -> None:
    spec = OPTIMIZERS[name](lr=0.1)
    weights = vec(1.0, 2.0, 3.0).requires_grad_()
    reference = getattr(torch.optim, name)([weights], lr=0.1)
    params, state = vec(1.0, 2.0, 3.0), None
    for update in UPDATES:
        weights.grad = -update
        reference.step()
        params, state = server_step(spec, params, state, update)
        assert torch.equal(params, weights.detach())
    assert not torch.equal(params, vec(1.0, 2.0, 3.0))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_server_step_changes_neither_model_nor_state_nor_update(name: str) -> None:
    spec = OPTIMIZERS[name](lr=0.1)
    params, state = server_step(spec, vec(1, 2, 3), None, UPDATES[0])
    kept, update = params.clone(), UPDATES[1].clone()
    first, first_state = server_step(spec, params, state, update)
    server_step(spec, first, first_state, update)
    assert torch.equal(params, kept)
    assert torch.equal(update, UPDATES[1])
    assert torch.equal(server_step(spec, params, state, update)[0], first)


def test_an_optimizer_is_chosen_by_kind() -> None:
    held = Holder.model_validate({"optimizer": {"kind": "Adam", "lr": 0.1, "betas": [0.9, 0.99]}})
    assert isinstance(held.optimizer, OPTIMIZERS["Adam"])
    assert held.optimizer.betas == (0.9, 0.99)
    assert Holder.model_validate({"optimizer": "SGD"}).optimizer == OPTIMIZERS["SGD"]()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_survives_a_round_trip_through_json(name: str) -> None:
    held = Holder.model_validate({"optimizer": {"kind": name, "lr": 0.125}})
    assert Holder.model_validate_json(held.model_dump_json()) == held


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"kind": "Adamm"}, "did you mean 'Adam'"),
        ({"kind": "LBFGS"}, "unknown optimizer 'LBFGS'"),
        ({"lr": 0.1}, "unknown optimizer None"),
        ({"kind": "SGD", "lrr": 0.1}, "lrr"),
        ({"kind": "SGD", "lr": -0.1}, "learning rate"),
        ({"kind": "SGD", "lr": 0.1, "nesterov": True}, "Nesterov momentum requires a momentum"),
        ({"kind": "Adam", "betas": [0.9, 1.5]}, "beta"),
        ({"kind": "Adam", "betas": [0.9]}, "betas"),
        ({"kind": "SGD", "foreach": True}, "foreach"),
        (3, "optimizer"),
    ],
)
def test_what_torch_would_refuse_is_refused_when_it_is_read(block: object, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"optimizer": block})
    assert reason.lower() in str(caught.value).lower()


def test_a_specification_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        OPTIMIZERS["SGD"]().lr = 1.0
