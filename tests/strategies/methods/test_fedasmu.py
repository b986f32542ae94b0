"""FedASMU: weights, control parameters and merges by hand; a task with a merge; its schedule."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from places import SMALLEST
from small_training import Trainer, data, linear, trainer
from vectors import assert_is, models_after, population, vec
from world_runs import SECOND, Outcome, run, scenario

from afl_sim.errors import ScenarioError, StrategyError
from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import TrainingTask
from afl_sim.execution.workers.worker import Worker, train_request
from afl_sim.learning.training.compressors import Compressor
from afl_sim.learning.training.phase import Fresh, Phase
from afl_sim.run.api import load_scenario, simulate
from afl_sim.scenario.sections.compression import Compression
from afl_sim.strategies import FedASMU, Update
from afl_sim.streams import Streams


def update(
    client: int,
    base: int,
    version: int,
    before: torch.Tensor,
    end: tuple[float, ...],
    steps: int = 2,
) -> Update:
    """Of a task that began with ``before``, at this version; it arrives at ``version``."""
    params = vec(*end)
    return Update(client, base, version - base, 1, steps, params - before, params, 1.0)


# -- the server ------------------------------------------------------------------------------------


def test_the_weight_falls_with_the_version_and_with_the_age() -> None:
    strategy = FedASMU(mu_alpha=2, scale=0.5, exponent=1, floor=0.25, control_rate=0)
    zero = vec(0, 0)
    first, second, third = models_after(
        strategy,
        zero,
        [update(0, 0, 0, zero, (1, 2))],  # xi = 1/2 + 1/4, alpha = 1.5/2.5
        [update(1, 0, 1, zero, (4, 0))],  # t = 2, t - o = 2: xi = 0.5/(sqrt(2) 2) + 1/4
        [update(0, 2, 2, zero, (0, 0))],  # t = 3, t - o = 1: xi = 0.5/sqrt(3) + 1/4
    )
    assert_is(first, 0.6, 1.2)
    alpha = 0.8535533906 / 1.8535533906
    assert_is(second, 0.6 * (1 - alpha) + 4 * alpha, 1.2 * (1 - alpha))
    alpha = 1.0773502692 / 2.0773502692
    assert_is(third, *((1 - alpha) * second).tolist())


def test_control_parameters_go_against_the_gradient_of_their_clients_loss() -> None:
    strategy = FedASMU(scale=1, exponent=1, floor=0.5, control_rate=0.1)
    start = vec(0, 0)
    state = strategy.initial_state(start, population())
    one, state = strategy.aggregate(start, state, [update(0, 0, 0, start, (2, 0))], {})
    two, state = strategy.aggregate(one, state, [update(1, 0, 1, start, (2, 0))], {})
    # Client 1 made version 2: w_i - w = (2, 0) - (1.2, 0), t = t - o = 2, xi = 1/(2 sqrt 2) + 1/2.
    assert_is(one, 1.2, 0)
    assert state["controls"][1] == (1, 1, 0.5)
    # Its next task begins there. delta = (0.5, 1) in 2 steps: gain = 0.8 * 0.5 / 2 = 0.2.
    end = two + vec(0.5, 1)
    moved = Update(1, 2, 0, 1, 2, vec(0.5, 1), end, 1.0)
    _, after = strategy.aggregate(two, state, [moved], {})
    slope = 0.1 * 0.2 / (1.5 + 1 / (2 * math.sqrt(2))) ** 2
    falls = 1 / (2 * math.sqrt(2))
    assert after["controls"][1] == pytest.approx(
        (1 + slope * falls, 1 - slope * falls * math.log(2), 0.5 + slope), rel=1e-6
    )
    assert after["controls"][0] == (1, 1, 0.5)
    assert state["controls"][1] == (1, 1, 0.5)


def test_the_gradient_of_the_control_parameters_is_that_of_the_loss() -> None:
    # f(w) = |w - target|^2 / 2. The version after an update is w + alpha (w_i - w), and its
    # gradient there is w - target: what a client with one small step tells.
    target, eta = vec(3, -1), 1e-4
    before, trained_to = vec(0.5, 0.5), vec(2, 1)

    def loss(scale: float, exponent: float, floor: float) -> float:
        strategy = FedASMU(scale=scale, exponent=exponent, floor=floor, control_rate=0)
        state = strategy.initial_state(before, population())
        arrived = Update(0, 3, 2, 1, 1, vec(0, 0), trained_to, 1.0)
        after, _ = strategy.aggregate(before, state, [arrived], {})
        return float(((after.double() - target.double()) ** 2).sum() / 2)

    at = (0.9, 0.7, 0.2)
    strategy = FedASMU(scale=at[0], exponent=at[1], floor=at[2], control_rate=1 / eta * 1e-3)
    state = strategy.initial_state(before, population())
    arrived = Update(0, 3, 2, 1, 1, vec(0, 0), trained_to, 1.0)
    made, state = strategy.aggregate(before, state, [arrived], {})
    delta = -eta * (made - target)
    _, state = strategy.aggregate(
        made, state, [Update(0, 6, 0, 1, 1, delta, made + delta, 1.0)], {}
    )
    for index in range(3):
        h = 1e-3
        up, down = (list(at), list(at))
        up[index] += h
        down[index] -= h
        slope = (loss(*up) - loss(*down)) / (2 * h)
        assert state["controls"][0][index] - at[index] == pytest.approx(-1e-3 * slope, rel=2e-3)


def test_a_task_that_began_elsewhere_says_nothing_of_the_control_parameters() -> None:
    strategy = FedASMU(control_rate=1)
    start = vec(0, 0)
    state = strategy.initial_state(start, population())
    one, state = strategy.aggregate(start, state, [update(0, 0, 0, start, (2, 0))], {})
    two, state = strategy.aggregate(one, state, [update(1, 0, 1, start, (3, 3))], {})
    _, state = strategy.aggregate(two, state, [update(0, 2, 2, two, (9, 9))], {})
    assert state["controls"] == {0: (1, 0.5, 0), 1: (1, 0.5, 0)}


def test_control_parameters_do_not_become_negative() -> None:
    strategy = FedASMU(control_rate=100, exponent=0, floor=0)
    start = vec(0, 0)
    state = strategy.initial_state(start, population())
    one, state = strategy.aggregate(start, state, [update(0, 0, 0, start, (2, 0))], {})
    _, state = strategy.aggregate(one, state, [update(0, 1, 1, one, (-9, 0))], {})
    assert state["controls"][0] == (0, 0, 0)


def test_without_a_rate_nothing_is_kept_of_clients() -> None:
    strategy = FedASMU(control_rate=0)
    start = vec(0, 0)
    state = strategy.initial_state(start, population())
    assert strategy.aggregate(start, state, [update(0, 0, 0, start, (2, 0))], {})[1] == state


# -- the clients -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "weight"),
    [
        ({"exponent": 5000}, 0),  # 2^5000 is beyond the numbers: nothing is left of the weight
        ({"exponent": 5000, "floor": 1}, 0.5),
        ({"scale": 1e308, "mu_alpha": 100}, 1),
        ({"mu_alpha": 1e308, "floor": 10}, 1),
    ],
)
def test_weights_at_the_ends_of_the_numbers(settings: dict[str, float], weight: float) -> None:
    strategy = FedASMU(**settings)
    start = vec(0, 0)
    state = strategy.initial_state(start, population())
    old = update(0, 0, 1, start, (2, 0))
    model, state = strategy.aggregate(start, state, [old], {})
    assert_is(model, 2 * weight, 0)
    # What is learnt at that update is a number, too.
    moved = Update(0, 2, 0, 1, 2, vec(0.5, 1), model + vec(0.5, 1), 1.0)
    after, state = strategy.aggregate(model, state, [moved], {})
    assert after.isfinite().all()
    assert all(math.isfinite(control) for control in state["controls"][0])


def test_a_fresh_model_of_infinite_weight_replaces_the_clients() -> None:
    assert FedASMU(mu_beta=1e308, refresh_scale=1e10).refresh_weight(1, 4) == 1


def test_the_weight_of_a_fresh_model_by_hand() -> None:
    strategy = FedASMU(mu_beta=2, refresh_scale=3, refresh_discount=0.5)
    # g = 9, o = 6: phi = 3/3 (1 - 0.5/2) = 0.75, and beta = 1.5/2.5.
    assert strategy.refresh_weight(6, 9) == 0.6
    # g = 4, o = 3: phi = 3/2 (1 - 0.5/sqrt(2)).
    phi = 1.5 * (1 - 0.5 / math.sqrt(2))
    assert strategy.refresh_weight(3, 4) == pytest.approx(2 * phi / (1 + 2 * phi))
    assert FedASMU(refresh_discount=2).refresh_weight(3, 4) == 0


def begin(model: torch.nn.Module | None = None) -> tuple[Trainer, torch.Tensor, torch.Tensor]:
    mine = trainer(linear() if model is None else model)
    base = mine.layout.read(mine.model).clone()
    return mine, base, base + torch.linspace(-1, 1, len(base))


def test_a_client_merges_after_its_step_and_trains_on() -> None:
    mine, base, newer = begin()
    fresh = Fresh(2, torch.cat([newer, torch.ones(3)]), 0.25)
    merged = mine.train(0, 1, 2, base, base, 1.0, None, Phase(fresh=fresh))
    first = mine.train(0, 1, 2, base, base, 1.0).vector
    assert torch.equal(merged.vector, 0.75 * first + 0.25 * newer)
    assert torch.equal(merged.delta, merged.vector - base)
    # Two more steps: those of a plain loop from the merged model, with the third and fourth batch.
    images, labels = data()
    batches = list(mine.batches(0, 1, 4))[2:]
    weights = [part.clone().requires_grad_() for part in merged.vector.split([12, 3])]
    for batch in batches:
        outputs = images[batch].flatten(1) @ weights[0].view(3, 4).T + weights[1]
        loss = torch.nn.functional.cross_entropy(outputs, labels[batch])
        slopes = torch.autograd.grad(loss, weights)
        weights = [
            (w - 0.1 * g).detach().requires_grad_() for w, g in zip(weights, slopes, strict=True)
        ]
    whole = mine.train(0, 1, 4, base, base, 1.0, None, Phase(fresh=fresh)).vector
    torch.testing.assert_close(whole, torch.cat(weights).detach(), rtol=1e-5, atol=1e-6)


def test_the_buffers_of_a_fresh_model_are_not_merged() -> None:
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3))
    mine, base, _ = begin(model)
    count = mine.layout.num_parameters
    newer = base + 1
    newer[count:] = 1e6
    fresh = Fresh(1, newer, 1.0)
    result = mine.train(0, 1, 1, base, base[:count], 1.0, None, Phase(fresh=fresh))
    assert torch.equal(result.vector[:count], newer[:count])
    assert result.vector[count:].max() < 10


def task_with(base: torch.Tensor, fresh: Fresh | None) -> TrainingTask:
    return TrainingTask(0, 1, 4, base, 0.5, fresh=fresh)


def test_a_worker_trains_the_same_task() -> None:
    mine, base, newer = begin()
    task = task_with(base, Fresh(2, newer, 0.25))
    runner = TaskRunner(mine, evaluator=None)  # type: ignore[arg-type]
    expected = runner.train(task, None)
    assert not torch.equal(expected.vector, runner.train(task_with(base, None), None).vector)
    worker = Worker(line=None)  # type: ignore[arg-type]
    worker._runners[b"here"] = runner
    request = train_request(b"here", None, task)
    assert request.base is not None
    reply = worker.do("train", b"here", request.base.numpy(), None, request.arguments)
    assert reply.error is None
    assert torch.equal(torch.from_numpy(reply.value[0]), expected.vector)


def test_a_fresh_model_is_compressed_like_the_first() -> None:
    mine, base, newer = begin()
    compressor = Compressor(Compression.model_validate({"download": "bf16"}), Streams(1))
    runner = TaskRunner(mine, None, compressor)  # type: ignore[arg-type]
    rounded = newer.to(torch.bfloat16).float()
    start = base.to(torch.bfloat16).float()
    plain = TaskRunner(mine, evaluator=None)  # type: ignore[arg-type]
    expected = plain.train(task_with(start, Fresh(2, rounded, 0.25)), None)
    found = runner.train(task_with(base, Fresh(2, newer, 0.25)), None)
    assert torch.equal(found.vector, expected.vector)


# -- the schedule ----------------------------------------------------------------------------------


def used(outcome: Outcome) -> list[tuple[float, int, int, int]]:
    """(second, client, base version, version) of the updates used."""
    return [
        (e.time_us / SECOND, e.client, e.base_version, e.version) for e in outcome.of("aggregated")
    ]


def test_each_update_makes_a_version_and_long_tasks_are_refreshed() -> None:
    strategy = {"kind": "fedasmu", "concurrency": "all", "request_after": 0.5}
    outcome = run(
        scenario([2, 5], strategy=strategy, down=1, training={"steps": 2}, stop={"updates": 4})
    )
    # Client 0 has nothing newer at 2 and at 5 s. Client 1 asks at 3.5 s for version 1, which is
    # there at 4.5 s, and sends its update at 7 s.
    assert used(outcome) == [(3, 0, 0, 1), (6, 0, 1, 2), (7, 1, 0, 3), (10, 0, 2, 4)]
    fresh = [(e.time_us / SECOND, e.client, e.bytes > 0) for e in outcome.of("refreshed")]
    # The third task of client 0 asks at 8 s, when version 3 is new, and goes on at 9 s.
    assert fresh[:4] == [(2, 0, False), (4.5, 1, True), (5, 0, False), (9, 0, True)]


def test_updates_that_are_too_old_are_discarded() -> None:
    strategy = {
        "kind": "fedasmu", "concurrency": "all", "staleness_limit": 2, "request_after": None,
    }  # fmt: skip
    outcome = run(scenario([2, 5], strategy=strategy, stop={"updates": 4}))
    # t - o of client 1's first update is 3 - 0.
    assert [(e.time_us / SECOND, e.client) for e in outcome.of("discarded")] == [(5, 1)]
    assert used(outcome) == [(2, 0, 0, 1), (4, 0, 1, 2), (6, 0, 2, 3), (8, 0, 3, 4)]


def test_fresh_models_help_clients_that_are_late(tmp_path: Path) -> None:
    """With beta = 1 from the start, the last version is what the client goes on from."""
    every = ["strategy={kind: fedasmu, concurrency: all, request_after: 0.5, mu_beta: 1e9}"]
    never = ["strategy={kind: fedasmu, concurrency: all, request_after: null}"]
    more = ["stop.updates=12", "evaluation.samples=100"]
    runs = [simulate(load_scenario(SMALLEST, [*each, *more])) for each in (every, never)]
    assert runs[0].summary["model_digest"] != runs[1].summary["model_digest"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("clients.queue=fifo", "clients.queue: the clients of fedasmu ask for a newer model"),
        ("numerics.mode=batched", "numerics.mode: the clients of fedasmu merge a newer model"),
        (
            "training.personalization={kind: ditto}",
            "training.personalization: the clients of fedasmu merge a newer model",
        ),
        ("model.personal=['*.bias']", "model.personal: the clients of fedasmu merge a newer model"),
        ("strategy.server_lr=1", "server_lr"),
    ],
)
def test_what_does_not_go_together_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load_scenario(SMALLEST, ["strategy={kind: fedasmu, concurrency: 4}", setting])
    assert message in str(error.value)


def test_a_gradient_method_has_nothing_to_merge_into() -> None:
    from afl_sim.scenario.checks.refreshing import refreshing_findings

    class Both(FedASMU):
        gradient = True

    (found,) = refreshing_findings({"strategy": Both()})
    assert found.path == ("strategy", "kind")
    assert "nothing to merge" in found.message


@pytest.mark.parametrize("weight", [2.0, -0.1, math.nan, None, "much"])
def test_a_weight_that_is_none_is_refused(weight: Any) -> None:
    class Odd(FedASMU):
        def refresh_weight(self, base_version: int, fresh_version: int) -> float:
            return weight  # type: ignore[no-any-return]

    built: Any = load_scenario(SMALLEST, ["strategy={kind: fedasmu, concurrency: all}"])
    odd = built.model_copy(update={"strategy": Odd(concurrency="all")})
    with pytest.raises(StrategyError, match=f"refresh_weight is {weight!r} for a task of version"):
        simulate(odd)


def test_an_error_in_a_hook_of_ones_own_is_told() -> None:
    class Wrong(FedASMU):
        def refresh_weight(self, base_version: int, fresh_version: int) -> float:
            return 1 / (base_version - base_version)

    built: Any = load_scenario(SMALLEST, ["strategy={kind: fedasmu, concurrency: all}"])
    wrong = built.model_copy(update={"strategy": Wrong(concurrency="all")})
    with pytest.raises(StrategyError, match=r"refresh_weight.*division by zero"):
        simulate(wrong)
