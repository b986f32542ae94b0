"""The checks for third parties: a sound strategy passes, and each flaw is found by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict, Field

import afl_sim.testing
from afl_sim import Strategy
from afl_sim.errors import AflSimError
from afl_sim.testing import CHECKS, Case, check_strategy


class Sound(Strategy):
    """Each arriving model is averaged with the global one."""

    concurrency: int = Field(3, description="clients that train at once")

    def schedule(self, server: Any) -> Any:
        server.dispatch_many(server.pick(self.concurrency))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.dispatch(server.pick_one())

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        for update in updates:
            params = (params + update.params) / 2
        return params, state


class Mutable(Sound):
    """Its settings can be changed."""

    model_config = ConfigDict(frozen=False)


class Undescribed(Sound):
    """A setting without a description."""

    extra: int = 1


class Forgetful(Sound):
    """A setting that it does not write down as it reads it."""

    extra: int = Field(1, description="nothing", exclude=True)


class InPlace(Sound):
    """Changes the model that it is given."""

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params.add_(updates[0].delta).clone(), state


class Remembers(Sound):
    """Counts in a place of its own."""

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        CALLS.append(1)
        return params + updates[0].delta / len(CALLS), state


CALLS: list[int] = []


class Pairs(Sound):
    """Aggregates two at a time."""

    def schedule(self, server: Any) -> Any:
        server.dispatch_many(server.pick(self.concurrency))
        while True:
            pair = [(yield server.arrival()), (yield server.arrival())]
            yield server.aggregate(pair)
            server.dispatch_many(server.pick(2))


class LastWins(Pairs):
    """Takes the last update for the whole."""

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return updates[-1].params.clone(), state


class Shrinks(Sound):
    """Decays the model, whatever the clients say."""

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return 0.9 * params + 0.1 * updates[0].delta, state


class Away(Sound):
    """Walks the wrong way."""

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params - updates[0].delta / 10, state


class Peeks(Sound):
    """Reads results and does not say so."""

    def schedule(self, server: Any) -> Any:
        server.dispatch_many(server.pick(self.concurrency))
        while True:
            update = yield server.arrival()
            if server.result(update).loss >= 0:
                yield server.aggregate([update])
            server.dispatch(server.pick_one())


class Unsavable(Sound):
    """Keeps what a checkpoint cannot hold."""

    def initial_state(self, params: Any, population: Any) -> Any:
        return {"things": {1, 2}}


def test_a_sound_strategy_passes_every_check() -> None:
    check_strategy(Case(Sound(), max_staleness=10))


@pytest.mark.parametrize(
    ("strategy", "promises", "check"),
    [
        (Mutable(), {}, "hyperparameters_are_frozen"),
        (Undescribed(), {}, "hyperparameters_are_described"),
        (Forgetful(extra=2), {}, "settings_survive_a_round_trip"),
        (InPlace(), {}, "aggregate_is_pure"),
        (Remembers(), {}, "aggregate_is_pure"),
        (LastWins(), {}, "order_of_simultaneous_updates_does_not_matter"),
        (Shrinks(), {}, "zero_updates_leave_the_model"),
        (Sound(), {"lone": {"concurrency": 1}}, "a_lone_client_is_plain_training"),
        (Away(), {}, "a_quadratic_converges"),
        (Sound(), {"max_staleness": 0}, "staleness_keeps_its_bound"),
        (Peeks(), {}, "timing_alone_gives_the_same_schedule"),
        (Remembers(), {}, "worker_processes_give_the_same_bits"),
        (Unsavable(), {}, "a_run_goes_on_from_any_snapshot"),
    ],
)
def test_a_flaw_is_found(strategy: Strategy, promises: dict[str, Any], check: str) -> None:
    CHECKS[check](Case(Sound()))
    with pytest.raises((AssertionError, AflSimError, TypeError)):
        CHECKS[check](Case(strategy, **promises))


def test_all_that_is_amiss_is_said_at_once() -> None:
    with pytest.raises(AssertionError) as caught:
        check_strategy(Case(Undescribed(), max_staleness=0))
    text = str(caught.value)
    assert "hyperparameters_are_described: extra has no description" in text
    assert "staleness_keeps_its_bound: a staleness of" in text
    assert "test_testing:Undescribed" in text


def test_the_names_are_documented() -> None:
    for name in afl_sim.testing.__all__:
        assert name in (afl_sim.testing.__doc__ or "")
