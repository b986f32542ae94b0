"""The checks for strategies: functions that raise `AssertionError` if a strategy fails."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from torch import Tensor

from afl_sim.errors import ScheduleError
from afl_sim.global_model.null import NullLearner
from afl_sim.global_model.replay import ReplayingLearner
from afl_sim.global_model.snapshot import Snapshot
from afl_sim.strategies.base import Strategy
from afl_sim.testing.comparing import close, same
from afl_sim.testing.pure import aggregate_is_pure, hooks_are_pure
from afl_sim.testing.quadratics import INITIAL, targets
from afl_sim.testing.toy import (
    Case,
    Whimsical,
    calls_of,
    executor_of,
    learner_of,
    pooled_executor_of,
    turn,
)
from afl_sim.world.server.statistics import Counts

Check = Callable[[Case], None]
_COMES_AND_GOES = {"kind": "on_off", "on": {"dist": "expon", "scale": 8}, "off": 3}


def settings_suit_the_toy(case: Case) -> None:
    """The case itself is one that can be checked."""
    problems = list(case.strategy.check(case.clients))
    assert not problems, f"the settings do not suit {case.clients} clients: {problems}"


def hyperparameters_are_frozen(case: Case) -> None:
    """No field can be changed, and nothing can be stored on the strategy."""
    strategy = case.strategy
    for name in type(strategy).model_fields:
        assert refuses(strategy, name, getattr(strategy, name)), f"{name} can be changed"
    assert refuses(strategy, "something_of_its_own", 1), "it can store things on itself"


def hyperparameters_are_described(case: Case) -> None:
    """Every field has a description for the reference page."""
    for name, field in type(case.strategy).model_fields.items():
        assert field.description, f"{name} has no description"


def settings_survive_a_round_trip(case: Case) -> None:
    """Written as YAML and read again, it is an equal strategy."""
    text = yaml.safe_dump(case.strategy.model_dump(mode="json"))
    again = type(case.strategy).model_validate(yaml.safe_load(text))
    assert again == case.strategy, f"{again!r} is not {case.strategy!r}"
    assert pickle.loads(pickle.dumps(case.strategy)) == case.strategy, "it cannot be pickled"


def order_of_simultaneous_updates_does_not_matter(case: Case) -> None:
    """Within one aggregation, only a client's own updates have an order."""
    for number, call in enumerate(calls_of(case)):
        clients = list(dict.fromkeys(update.client for update in call.updates))
        for shift in {1, len(clients) // 2, len(clients) - 1} - {0}:
            turned = clients[shift:] + clients[:shift]
            updates = sorted(call.updates, key=lambda u: turned.index(u.client))  # stable
            expected = case.strategy.aggregate(call.params, call.state, call.updates, call.context)
            found = case.strategy.aggregate(call.params, call.state, updates, call.context)
            assert close(found[0], expected[0]), (
                f"the order of updates matters in aggregation {number}"
            )


def zero_updates_leave_the_model(case: Case) -> None:
    """If every client starts at its optimum, the model does not move."""
    learner = learner_of(case, executor_of(case.clients, "starts"))
    vector = turn(case, learner).vector
    assert vector is not None
    assert close(vector, INITIAL), f"it moved from {INITIAL.tolist()} to {vector.tolist()}"


def refused_updates_have_no_part(case: Case) -> None:
    """The server's guard may refuse any update, or all of an aggregation, context and all."""

    def far(kind: str, optimum: Tensor) -> float:
        learner = learner_of(case, executor_of(case.clients, kind), guard=Whimsical())
        leaving = {**_COMES_AND_GOES, "on_leave": "lost"}  # so that some tasks fail as well
        vector = turn(case, learner, availability=leaving).vector
        assert learner.rejected, "the toy run is too short for updates to be refused"
        assert vector is not None
        return float((vector - optimum).norm() / (INITIAL - targets(1, "same")[0]).norm())

    moved = far("starts", INITIAL)
    assert moved <= 1e-5, (
        f"no client moved, but the model moved {moved:.3g} of the distance to another point"
    )
    left = far("same", targets(1, "same")[0])
    assert left < 1, f"{left:.3f} of the distance to the optimum is left"


def a_lone_client_is_plain_training(case: Case) -> None:
    """With one client and ``case.lone``, the model is what training in one place would give."""
    if case.lone is None:
        return
    strategy = type(case.strategy).model_validate({**case.strategy.model_dump(), **case.lone})
    for call in calls_of(replace(case, strategy=strategy, clients=1, versions=10)):
        found, _ = strategy.aggregate(call.params, call.state, call.updates, call.context)
        expected = call.params
        for update in call.updates:
            if strategy.gradient:
                expected = expected + getattr(strategy, "lr") * update.delta  # noqa: B009
            else:
                expected = update.params
        assert close(found, expected), f"{found.tolist()} instead of {expected.tolist()}"


def a_server_optimizer_fits_or_is_refused(case: Case) -> None:
    """Plain SGD at rate 1 in the server's place takes the rule's own move."""
    kind = type(case.strategy)
    if case.strategy.server_optimizer is not None or kind.direction is not Strategy.direction:
        return
    settings = {**case.strategy.model_dump(), "server_optimizer": {"kind": "SGD", "lr": 1.0}}
    try:
        strategy = kind.model_validate(settings)
    except ValidationError as error:
        if kind.optimizer_gets != "nothing":
            raise AssertionError(f"it refuses a server optimizer: {error}") from error
        return
    assert kind.optimizer_gets != "nothing", "it accepts a server optimizer that it does not use"
    plain = turn(case, learner_of(case, executor_of(case.clients, "spread")))
    other = replace(case, strategy=strategy)
    found = turn(other, learner_of(other, executor_of(case.clients, "spread")))
    assert found.vector is not None
    assert plain.vector is not None
    assert close(found.vector, plain.vector), f"{found.vector.tolist()}, {plain.vector.tolist()}"


def a_quadratic_converges(case: Case) -> None:
    """If all clients have the same optimum, the model approaches it."""
    learner = learner_of(case, executor_of(case.clients, "same"))
    vector, optimum = turn(case, learner).vector, targets(1, "same")[0]
    assert vector is not None
    left = float((vector - optimum).norm() / (INITIAL - optimum).norm())
    assert left <= case.shrinks_to, f"{left:.3f} of the distance is left"


def staleness_keeps_its_bound(case: Case) -> None:
    """No aggregated update exceeds the staleness that the paper guarantees."""
    if case.max_staleness is None:
        return
    trail = turn(replace(case, versions=4 * case.versions), _null_or_toy(case))
    worst = max(trail.staleness)
    assert worst <= case.max_staleness, f"a staleness of {worst} exceeds {case.max_staleness}"


def counts_balance(case: Case) -> None:
    """Every task ends in one way, and every arrival is used, discarded or buffered."""
    _assert_balance(turn(case, _null_or_toy(case)).counts)


def clients_may_come_and_go(case: Case) -> None:
    """The run reaches its end although clients leave and lose their work."""
    for leaving in ("lost", "finish"):
        availability = {**_COMES_AND_GOES, "on_leave": leaving}
        learner = learner_of(case, executor_of(case.clients, "spread"))
        _assert_balance(turn(case, learner, availability=availability).counts)


def _assert_balance(found: Counts) -> None:
    counts = found.as_dict()
    assert counts["dispatched"] == sum(
        counts[key] for key in ("arrived", "failed", "cancelled", "in_flight")
    ), counts
    assert counts["arrived"] == sum(
        counts[key] for key in ("aggregated", "discarded", "buffered")
    ), counts
    assert min(counts.values()) >= 0, counts


def timing_alone_gives_the_same_schedule(case: Case) -> None:
    """Without training the schedule is the same, or is refused because it reads results."""
    full = turn(case, learner_of(case, executor_of(case.clients, "spread", case.rule)))
    if case.strategy.reads_results or getattr(case.rule, "reads_results", False):
        return  # --timing-only refuses it
    try:
        timed = turn(case, NullLearner())
    except ScheduleError as error:
        raise AssertionError(f"its schedule fails without training: {error}") from error
    assert timed.schedule_digest == full.schedule_digest, "the schedule depends on training results"


def worker_processes_give_the_same_bits(case: Case) -> None:
    """Two worker processes give the same model as one process."""
    inline = turn(case, learner_of(case, executor_of(case.clients, "spread", case.rule)))
    processes = turn(case, learner_of(case, pooled_executor_of(case.clients, case.rule)))
    assert same(processes.vector, inline.vector), "the model depends on the executor"
    assert processes.schedule_digest == inline.schedule_digest


def a_run_goes_on_from_any_snapshot(case: Case) -> None:
    """Interrupted and resumed at any version, it gives the same bits."""
    learner = learner_of(case, executor_of(case.clients, "spread", case.rule))
    versions = sorted({1, 2, case.versions // 3, case.versions - 1})
    taken: dict[int, Any] = {}

    def save(version: int) -> None:
        if version not in versions:
            return
        snapshot = learner.snapshot(version)
        assert snapshot is not None
        facts, arrays = snapshot.pack()
        taken[version] = (json.dumps(facts), copy.deepcopy(arrays))

    turn(case, learner, save)
    for version in versions:
        facts, arrays = taken[version]
        fresh = learner_of(case, executor_of(case.clients, "spread", case.rule))
        replay = ReplayingLearner(fresh, Snapshot.unpack(json.loads(facts), arrays))
        turn(case, replay, lambda now, replay=replay: replay.attach(now, lambda: None))  # type: ignore[misc]
        assert same(fresh.vector, learner.vector), (
            f"resumed at version {version}, it gives a different result"
        )


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        settings_suit_the_toy,
        hyperparameters_are_frozen,
        hyperparameters_are_described,
        settings_survive_a_round_trip,
        aggregate_is_pure,
        hooks_are_pure,
        order_of_simultaneous_updates_does_not_matter,
        zero_updates_leave_the_model,
        refused_updates_have_no_part,
        a_lone_client_is_plain_training,
        a_server_optimizer_fits_or_is_refused,
        a_quadratic_converges,
        staleness_keeps_its_bound,
        counts_balance,
        clients_may_come_and_go,
        timing_alone_gives_the_same_schedule,
        worker_processes_give_the_same_bits,
        a_run_goes_on_from_any_snapshot,
    )
}
"""Every check by its name."""


def refuses(frozen: BaseModel, name: str, value: Any) -> bool:
    """Whether an attribute cannot be set."""
    try:
        setattr(frozen, name, value)
    except (ValidationError, AttributeError, TypeError, ValueError):
        return True
    return False


def _null_or_toy(case: Case) -> Any:
    if not case.strategy.reads_results:
        return NullLearner()
    return learner_of(case, executor_of(case.clients, "spread"))
