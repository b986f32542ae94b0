"""What does not go together with parts of a model that clients keep for themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.sections.personalization import Ditto, FedRep
from afl_sim.scenario.wording import show

_ON_OWN = ("client_test", "client_train")
_PERSONAL: KeyPath = ("model", "personal")
_SPEC: KeyPath = ("training", "personalization")


def personalization_findings(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with personal parts together with other settings.

    Args:
        sections: a scenario's attributes, by name, as far as they are valid.
    """
    if getattr(sections.get("model"), "kept_by_clients", None) is not None:
        yield from _not_batched(_PERSONAL, sections)
        yield from _not_with_gradients(_PERSONAL, sections)
        yield from _not_queued(_PERSONAL, sections)
        yield from _without_a_common_model(sections)
    data, evaluation = sections.get("data"), sections.get("evaluation")
    tuned = evaluation is not None and evaluation.fine_tuning is not None
    if tuned:
        yield from _tested_by_none(("evaluation", "fine_tuning"), data)
    training = sections.get("training")
    spec = None if training is None else training.personalization
    if isinstance(spec, FedRep):
        yield from _without_parts(sections)
    if isinstance(spec, Ditto):
        yield from _not_batched(_SPEC, sections)
        yield from _not_queued(_SPEC, sections)
        yield from _tested_by_none(_SPEC, data)
        yield from _models_beside(sections, tuned)


def _without_a_common_model(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """Each client has another model, so nothing can be measured of a model of all clients."""
    evaluation = sections.get("evaluation")
    if evaluation is None:
        return
    if evaluation.on not in _ON_OWN:
        yield Finding(
            ("evaluation", "on"),
            f"got {show(evaluation.on)}, but with model.personal each client has a model of its "
            "own, which is tested on its own samples; expected client_test, with data.client_test "
            "above 0, or client_train",
        )
    if evaluation.squared_gradient_norm:
        yield Finding(
            ("evaluation", "squared_gradient_norm"),
            "it is of one model for all clients, but with model.personal each client has a model "
            "of its own; expected false",
        )


def _tested_by_none(key: KeyPath, data: Any) -> Iterator[Finding]:
    if data is not None and data.client_test == 0:
        yield Finding(
            key,
            "each client's model is tested on samples of its own, but data.client_test is 0; "
            "expected data.client_test above 0",
        )


def _without_parts(sections: Mapping[str, Any]) -> Iterator[Finding]:
    model = sections.get("model")
    if model is not None and getattr(model, "kept_by_clients", None) is None:
        yield Finding(
            _SPEC,
            "fedrep trains the parts that clients keep apart from the others, but model.personal "
            "names none; expected model.personal, such as [classifier.*]",
        )


def _models_beside(sections: Mapping[str, Any], tuned: bool) -> Iterator[Finding]:
    if getattr(sections.get("model"), "kept_by_clients", None) is not None:
        yield Finding(
            _SPEC,
            "with ditto each client keeps a whole model of its own, but model.personal lets it "
            "keep parts of the global one, too; expected one of the two",
        )
    if tuned:
        yield Finding(
            _SPEC,
            "ditto's models and those of evaluation.fine_tuning would have the same names of "
            "metrics, such as personal_accuracy; expected one of the two",
        )


def _not_batched(key: KeyPath, sections: Mapping[str, Any]) -> Iterator[Finding]:
    numerics = sections.get("numerics")
    if numerics is not None and numerics.mode == "batched":
        yield Finding(
            key,
            "tasks that are trained together cannot train what a client keeps for itself; "
            "expected numerics.mode: exact",
        )


def _not_with_gradients(key: KeyPath, sections: Mapping[str, Any]) -> Iterator[Finding]:
    strategy: Any = sections.get("strategy")
    if getattr(strategy, "gradient", False) is True:
        yield Finding(
            key,
            f"the clients of {strategy.kind} send gradients and do not train, so they would not "
            "train what they keep, either; expected a strategy whose clients train",
        )


def _not_queued(key: KeyPath, sections: Mapping[str, Any]) -> Iterator[Finding]:
    clients = sections.get("clients")
    strategy: Any = sections.get("strategy")
    message = (
        "a client continues with what it has kept, which is unknown when a queued task is sent; "
        "expected "
    )
    if clients is not None and clients.queue == "fifo":
        yield Finding(key, f"{message}clients.queue: none")
    elif getattr(strategy, "queues_at_clients", False) is True:
        yield Finding(key, f"{message}a strategy other than {strategy.kind}, which queues tasks")
