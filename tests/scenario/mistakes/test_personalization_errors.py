"""Settings that do not go together with personal parts: one line each, before anything is read."""

from __future__ import annotations

import pytest
from places import SMALLEST

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario

PERSONAL = "model={kind: mlp, personal: ['5.*']}"
OWN_TESTS = ("data={client_test: 0.2}", "evaluation.on=client_test")


def told(*settings: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(SMALLEST, settings)
    return [line.split(": ", 1)[1] for line in str(caught.value).split("\n")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            (PERSONAL,),
            "evaluation.on: got 'test', but with model.personal each client has a model of its "
            "own, which is tested on its own samples; expected client_test, with "
            "data.client_test above 0, or client_train",
        ),
        (
            (PERSONAL, *OWN_TESTS, "evaluation={on: client_test, squared_gradient_norm: true}"),
            "evaluation.squared_gradient_norm: it is of one model for all clients, but with "
            "model.personal each client has a model of its own; expected false",
        ),
        (
            (PERSONAL, *OWN_TESTS, "numerics.mode=batched"),
            "model.personal: tasks that are trained together cannot train what a client keeps for "
            "itself; expected numerics.mode: exact",
        ),
        (
            (PERSONAL, *OWN_TESTS, "strategy={kind: asyncsgd, concurrency: 3}"),
            "model.personal: the clients of asyncsgd send gradients and do not train, so they "
            "would not train what they keep, either; expected a strategy whose clients train",
        ),
        (
            (PERSONAL, *OWN_TESTS, "clients.queue=fifo"),
            "model.personal: a client continues with what it has kept, which is unknown when a "
            "queued task is sent; expected clients.queue: none",
        ),
        (
            (*OWN_TESTS, "model={kind: mlp, personal: []}"),
            "model.personal: got an empty list; expected at least 1 entries",
        ),
    ],
)
def test_each_mistake_is_told_in_a_line(settings: tuple[str, ...], expected: str) -> None:
    assert told(*settings) == [expected]
