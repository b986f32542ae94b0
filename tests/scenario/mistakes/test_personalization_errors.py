"""Settings that do not go together with personal parts: one line each, before anything is read."""

from __future__ import annotations

import pytest
from places import SMALLEST

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario

PERSONAL = "model={kind: mlp, personal: ['5.*']}"
OWN_TESTS = ("data={client_test: 0.2}", "evaluation.on=client_test")


def told(*settings: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(SMALLEST, settings)
    (line,) = str(caught.value).split("\n")
    return line.removeprefix("--set ")  # the key follows, once or, of a block, twice


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
        (
            ("training.personalization=fedrep",),
            "training.personalization: fedrep trains the parts that clients keep apart from the "
            "others, but model.personal names none; expected model.personal, such as "
            "[classifier.*]",
        ),
        (
            (PERSONAL, *OWN_TESTS, "training.personalization=ditto"),
            "training.personalization: with ditto each client keeps a whole model of its own, but "
            "model.personal lets it keep parts of the global one, too; expected one of the two",
        ),
        (
            ("training.personalization=ditto",),
            "training.personalization: each client's model is tested on samples of its own, but "
            "data.client_test is 0; expected data.client_test above 0",
        ),
        (
            (*OWN_TESTS, "training.personalization=ditto", "evaluation={fine_tuning: {}}"),
            "training.personalization: ditto's models and those of evaluation.fine_tuning would "
            "have the same names of metrics, such as personal_accuracy; expected one of the two",
        ),
        (
            (*OWN_TESTS, "training.personalization=ditto", "numerics.mode=batched"),
            "training.personalization: tasks that are trained together cannot train what a client "
            "keeps for itself; expected numerics.mode: exact",
        ),
        (
            (*OWN_TESTS, "training.personalization=ditto", "strategy=generalized_asyncsgd"),
            "training.personalization: a client continues with what it has kept, which is unknown "
            "when a queued task is sent; expected a strategy other than generalized_asyncsgd, "
            "which queues tasks",
        ),
    ],
)
def test_each_mistake_is_told_in_a_line(settings: tuple[str, ...], expected: str) -> None:
    assert told(*settings).endswith(expected)
