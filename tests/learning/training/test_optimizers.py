"""Every torch optimizer by name, on the client and as a pure step of the server."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import BaseModel, ValidationError
from vectors import flat_layout, vec

from afl_sim.errors import ScenarioError
from afl_sim.learning.training import fedopt
from afl_sim.learning.training.optimizer_table import SIGNATURES, is_ordinary
from afl_sim.learning.training.optimizers import (
    OPTIMIZERS,
    AnyOptimizer,
    OptimizerSpec,
    optimizer_class,
    signature,
)
from afl_sim.strategies.toolkit.server_optimizer import server_step

UPDATES = [vec(1.0, -2.0, 0.5), vec(0.3, 0.3, -1.0), vec(-2.0, 0.0, 0.1), vec(0.5, 0.5, 0.5)]

WHOLE, ONE = (flat_layout(size).trained_parts for size in (3, 1))


def class_of(name: str) -> type[torch.optim.Optimizer]:
    """The class itself: torch's, or where torch has none, ours."""
    return getattr(torch.optim, name, None) or getattr(fedopt, name)


class Holder(BaseModel):
    """A section with a field for an optimizer."""

    optimizer: AnyOptimizer | None = None


def test_the_usual_optimizers_are_there_and_those_that_need_more_than_a_gradient_are_not() -> None:
    assert {"SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "NAdam", "Adamax"} <= set(OPTIMIZERS)
    assert not {"LBFGS", "SparseAdam", "Optimizer"} & set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_defaults_are_those_of_torch(name: str) -> None:
    weights = [torch.zeros(2, requires_grad=True)]
    ours, theirs = OPTIMIZERS[name]().build(weights), class_of(name)(weights)
    assert type(ours) is type(theirs)
    for key, value in theirs.param_groups[0].items():
        if key != "params":
            assert ours.param_groups[0][key] == value, key


def test_the_table_has_every_optimizer_of_torch_with_its_arguments_and_defaults_in_order() -> None:
    names = [name for name in (*vars(torch.optim), *vars(fedopt)) if name != "FedOpt"]
    found = {name: each for name in names if (each := optimizer_class(name)) is not None}
    assert list(SIGNATURES) == list(OPTIMIZERS) == list(found)
    for name, each in found.items():
        assert list(SIGNATURES[name].items()) == list(signature(each).items()), name


def test_an_optimizer_that_only_a_later_torch_has_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(torch.optim.SGD):
        def __init__(self, params: object, lr: float = 0.25, rate: float = 2.0) -> None:
            super().__init__(params, lr)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim, "Later", Later, raising=False)
    optimizer_class.cache_clear()
    assert OPTIMIZERS.get("Muon") is None
    assert OPTIMIZERS.get("Optimizer") is None
    try:
        spec = Holder.model_validate({"optimizer": {"kind": "Later", "rate": 3}}).optimizer
        assert isinstance(spec, OptimizerSpec)
        assert spec.model_dump() == {"kind": "Later", "lr": 0.25, "rate": 3.0}
        assert isinstance(spec.build([torch.zeros(1, requires_grad=True)]), Later)
    finally:
        OPTIMIZERS.pop("Later", None)
        optimizer_class.cache_clear()


NUMBERS = (0.0, 1e-3, 0.5, 0.999, 1.0, 1.5, 100.0, -0.1, -1.0, math.inf)


def values_of(default: object) -> list[object]:
    """Values of an argument, good and bad."""
    if isinstance(default, bool):
        return [True, False]
    if isinstance(default, tuple):
        return [default, *((a, b) for a in NUMBERS for b in NUMBERS)]
    return [*NUMBERS]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ordinary_arguments_are_those_that_torch_accepts_for_sure(name: str) -> None:
    ordinary = 0
    for argument, default in SIGNATURES[name].items():
        for value in values_of(default):
            arguments = {**SIGNATURES[name], argument: value}
            if is_ordinary(name, arguments):
                class_of(name)([torch.zeros(1, requires_grad=True)], **arguments)
                ordinary += 1
    assert ordinary > len(SIGNATURES[name])
    assert is_ordinary(name, SIGNATURES[name])
    assert not is_ordinary(name, {**SIGNATURES[name], "lr": -1.0})


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


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"lr": 1e300}),
        ("SGD", {"momentum": 1e39}),
        ("SGD", {"weight_decay": math.inf}),
        ("Adam", {"betas": (0.9, -1e300)}),
        ("Adafactor", {"eps": (None, 1e300)}),
        ("RMSprop", {"eps": 1e300}),
    ],
)
def test_arguments_beyond_float32_are_refused_by_name(name: str, arguments: dict) -> None:
    with pytest.raises(ScenarioError) as caught:
        OPTIMIZERS[name](**arguments)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(next(iter(arguments)))
    assert "expected a number of float32, whose largest is 3.4e+38" in line


def test_the_largest_number_of_float32_is_a_number() -> None:
    OPTIMIZERS["SGD"](lr=torch.finfo(torch.float32).max)


def test_arguments_reach_torch() -> None:
    spec = OPTIMIZERS["SGD"](lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    group = spec.build([torch.zeros(1, requires_grad=True)]).param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.1, 0.9, True)
    assert group["weight_decay"] == 1e-4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_stepping_from_a_carried_state_is_one_optimizer_that_never_stopped(name: str) -> None:
    spec = OPTIMIZERS[name](lr=0.1)
    weights = vec(1.0, 2.0, 3.0).requires_grad_()
    reference = class_of(name)([weights], lr=0.1)
    params, state = vec(1.0, 2.0, 3.0), None
    for update in UPDATES:
        weights.grad = -update
        reference.step()
        params, state = server_step(spec, params, state, update, WHOLE)
        assert torch.equal(params, weights.detach())
    assert not torch.equal(params, vec(1.0, 2.0, 3.0))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_server_step_changes_neither_model_nor_state_nor_update(name: str) -> None:
    spec = OPTIMIZERS[name](lr=0.1)
    params, state = server_step(spec, vec(1, 2, 3), None, UPDATES[0], WHOLE)
    kept, update = params.clone(), UPDATES[1].clone()
    first, first_state = server_step(spec, params, state, update, WHOLE)
    server_step(spec, first, first_state, update, WHOLE)
    assert torch.equal(params, kept)
    assert torch.equal(update, UPDATES[1])
    assert torch.equal(server_step(spec, params, state, update, WHOLE)[0], first)


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


def two_steps(name: str, first: float, second: float, **arguments: object) -> tuple[float, float]:
    """A parameter that begins at 0, after two server steps."""
    spec = OPTIMIZERS[name](lr=1.0, **arguments)
    after, state = server_step(spec, vec(0.0), None, vec(first), ONE)
    return float(after), float(server_step(spec, after, state, vec(second), ONE)[0])


# With tau = 1, beta1 = beta2 = 1/2: m = first / 2, then m / 2 + second / 2; v begins at 1.
HALVES = {"betas": (0.5, 0.5), "tau": 1.0}


def test_fedadagrad_adds_up_squares() -> None:
    # Deltas 2 and 4: m = 1, v = 1 + 4; then m = 2.5, v = 5 + 16.
    first, second = two_steps("FedAdagrad", 2, 4, **HALVES)
    assert first == pytest.approx(1 / (5**0.5 + 1))
    assert second - first == pytest.approx(2.5 / (21**0.5 + 1))


def test_fedadam_decays_squares_and_corrects_no_bias() -> None:
    # v = 1/2 + 4/2 = 2.5; then 2.5/2 + 16/2 = 9.25
    first, second = two_steps("FedAdam", 2, 4, **HALVES)
    assert first == pytest.approx(1 / (2.5**0.5 + 1), rel=1e-6)
    assert second - first == pytest.approx(2.5 / (9.25**0.5 + 1), rel=1e-6)


def test_fedyogi_moves_v_towards_the_square_by_the_square() -> None:
    # v = 1 - 4/2 sign(1 - 4) = 3; then, with a delta of 1, v = 3 - 1/2 sign(3 - 1) = 2.5.
    first, second = two_steps("FedYogi", 2, 1, **HALVES)
    assert first == pytest.approx(1 / (3**0.5 + 1))
    assert second - first == pytest.approx(1.0 / (2.5**0.5 + 1))


def test_fedadagrad_has_no_momentum_by_default() -> None:
    first, _ = two_steps("FedAdagrad", 3, 0, tau=1.0)
    assert first == pytest.approx(3 / (10**0.5 + 1))


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"betas": [0.9, 1.0]}, {"lr": -1.0}])
def test_federated_optimizers_refuse_what_is_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValidationError, match="refuses these arguments"):
        Holder.model_validate({"optimizer": {"kind": "FedYogi", **wrong}})
