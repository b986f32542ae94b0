"""FedPSA: likeness of sensitivities, the temperature, and the gradients of a common batch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from places import SMALLEST
from torch import Tensor
from vectors import assert_is, models_after, trained, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.run.api import load_scenario
from afl_sim.run.checks import check_public
from afl_sim.run.validation import check_study
from afl_sim.scenario.bundled import find_scenario
from afl_sim.strategies import FedPSA, Strategy, Update
from afl_sim.strategies.base import Public
from afl_sim.strategies.methods.fedpsa import projection, softmax
from afl_sim.testing.toy import Case, executor_of, learner_of, targets, turn

START = vec(1, 1)
SLOPE = vec(0.5, -1)
PAIRS = FedPSA(buffer_size=2, window=3, temperature_scale=1, least_temperature=0.5, sketch_size=4)


def update(delta: tuple[float, float], gradient: Tensor) -> Update:
    """Of a client whose model ended at `START`."""
    return replace(trained(1, 1, base=[1 - each for each in delta]), public_gradient=gradient)


def like(*delta: float) -> Update:
    """Of a model as sensitive as the global one: kappa = 1."""
    return update((delta[0], delta[1]), SLOPE)


def unlike(*delta: float) -> Update:
    """Of a model that is not sensitive at all: kappa = 0."""
    return update((delta[0], delta[1]), vec(0, 0))


def told(*updates: Update) -> tuple[list[Update], dict[str, Any]]:
    return list(updates), {"public_gradient": SLOPE}


def test_weights_are_equal_until_the_window_is_full_and_then_follow_the_likeness() -> None:
    # ||Delta||^2 = 4, 16 | 1, 4 | 9, 9. Two updates do not fill the window: the mean, (1, 2).
    # With the third M_0 = 7; after the fourth M = (16 + 1 + 4)/3 = 7, so T = 1.5; then
    # M = (4 + 9 + 9)/3, so T = 22/21 + 0.5.
    def steps(strategy: FedPSA) -> list[Tensor]:
        rounds = [
            told(like(2, 0), unlike(0, 4)),
            told(like(1, 0), unlike(0, 2)),
            told(unlike(3, 0), like(0, 3)),
        ]
        # Every round begins at START, so that kappa stays what it is.
        state, found = strategy.initial_state(START, None), []  # type: ignore[arg-type]
        for updates, context in rounds:
            after, state = strategy.aggregate(START, state, updates, context)
            found.append(after - START)
        return found

    first, second, third = steps(PAIRS)
    assert_is(first, 1, 2)
    a = 1 / (1 + math.exp(-1 / 1.5))
    assert_is(second, a, 2 * (1 - a))
    a = 1 / (1 + math.exp(-1 / (22 / 21 + 0.5)))
    assert_is(third, 3 * (1 - a), 3 * a)


def test_the_sensitivity_has_a_second_order_and_no_sign() -> None:
    # g w = (1, 1), (1, -1) and (2, 1) give s = (0.5, 0.5), (0.5, 1.5) and (0, 0.5). The cosines
    # with the first are 2/sqrt(5) and 1/sqrt(2). A long sketch keeps them to about a hundredth.
    cold = FedPSA(
        buffer_size=2, window=1, temperature_scale=0, least_temperature=0.1, sketch_size=1 << 14
    )
    both = [update((1, 0), vec(1, -1)), update((0, 1), vec(2, 1))]
    (model,) = models_after(cold, START, (both, {"public_gradient": vec(1, 1)}))
    a, b = (model - START).tolist()
    assert 0.1 * math.log(a / b) == pytest.approx(2 / 5**0.5 - 1 / 2**0.5, abs=0.02)


def test_the_projection_keeps_lengths_and_is_the_same_each_time() -> None:
    matrix = projection(1 << 14, 2)
    assert matrix.shape == (1 << 14, 2)
    gram = (matrix.T @ matrix).tolist()
    assert gram[0][0] == pytest.approx(1, abs=0.04)
    assert gram[1][1] == pytest.approx(1, abs=0.04)
    assert gram[0][1] == pytest.approx(0, abs=0.04)
    projection.cache_clear()
    assert torch.equal(projection(1 << 14, 2), matrix)


def test_updates_that_move_nothing_leave_everything_in_order() -> None:
    strategy = FedPSA(buffer_size=2, window=2)
    still = told(like(0, 0), unlike(0, 0))
    moved = told(like(1e10, 0), unlike(0, 0))  # M / M_0 is about 1e27: the weights are equal
    models = models_after(strategy, START, still, still, moved)
    assert torch.equal(models[1], START)
    assert float(models[2][0]) == pytest.approx(5e9, rel=1e-6)
    assert softmax([1.0, 0.0], 1e-3) == [1.0, 0.0]


class Watching(Strategy):
    """Compares the gradients that it is given with those of the toy problem."""

    clients: int
    common: tuple[float, ...]

    @property
    def public_batch(self) -> Public:
        return Public(4, "noise")

    def schedule(self, server: Any) -> Any:
        server.send(self.clients)
        while True:
            yield server.aggregate([(yield server.arrival()), (yield server.arrival())])
            server.send(2)

    def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
        common = torch.tensor(self.common)
        assert torch.equal(context["public_gradient"], params - common)
        for each in updates:
            assert torch.equal(each.public_gradient, each.params - common)
            assert not torch.equal(each.params, params)
        return updates[-1].params, state


def test_a_rule_gets_the_gradients_at_the_global_model_and_at_each_update() -> None:
    common = targets(6, "spread").mean(0).tolist()
    case = Case(Watching(clients=4, common=tuple(common)), clients=6, versions=6)
    trail = turn(case, learner_of(case, executor_of(case.clients, "spread")))
    assert trail.vector is not None


def test_the_schedule_is_that_of_fedbuff() -> None:
    settings = {"concurrency": "all", "buffer_size": 2}
    durations = [[1, 4], 2.6, [3, 1, 9]]
    one, other = (
        run(scenario(durations, strategy={"kind": kind, **settings}, stop={"versions": 3}))
        for kind in ("fedpsa", "fedbuff")
    )
    assert one.schedule_digest == other.schedule_digest
    # 0 arrives at 1 s and goes on at version 0; 1 fills the buffer at 2.6 s and goes on at version
    # 1, as does 2 at 3 s, whose next update fills the second one at 4 s. 0 and 1 fill the third.
    assert [(e.version, e.client, e.staleness) for e in one.of("aggregated")] == [
        *((1, 0, 0), (1, 1, 0)),
        *((2, 2, 1), (2, 2, 0)),
        *((3, 0, 2), (3, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("strategy", "setting", "told"),
    [
        ("", "training.compression.upload=topk", "does not get if updates are"),
        ("", "training.personalization={kind: ditto}", "would keep parts of it; expected null"),
        ("", "model={kind: mlp, personal: ['1.*']}", "a model without personal parts"),
        (", batch: validation", "data.validation=0", "data.validation: got 0, but the clients of"),
        (
            ", batch: validation, batch_samples: 5000",
            "data.validation=0.01",
            "has 5000 samples of data.validation, which holds out 600",
        ),
    ],
)
def test_what_it_cannot_honour_is_refused(strategy: str, setting: str, told: str) -> None:
    block = f"strategy={{kind: fedpsa, concurrency: 3{strategy}}}"
    with pytest.raises(ScenarioError, match=told):
        check_study(SMALLEST, [block, setting])


@pytest.mark.parametrize("form", [{"vocabulary": 9}, {"target": "several"}, {"target": "tokens"}])
def test_noise_stands_for_numbers_with_a_class_or_numbers_only(form: dict[str, Any]) -> None:
    chosen = load_scenario(SMALLEST, ["strategy={kind: fedpsa, concurrency: 3}"])
    check_public(chosen, SampleForm((4,), 3), None)
    check_public(chosen, SampleForm((4,), 2, "number"), None)
    with pytest.raises(ScenarioError, match="its common batch is noise, which cannot stand for"):
        check_public(chosen, SampleForm((4,), 3, **form), None)


def test_tokens_are_refused_when_the_file_is_checked() -> None:
    block = "strategy={kind: fedpsa, concurrency: 3}"
    with pytest.raises(ScenarioError, match="its common batch is noise, which cannot stand for"):
        check_study(find_scenario("addresses"), [block])
