"""What a strategy does not go with: settings of clients and training that it leaves no room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.scenario.catalogue import NamedBlock
from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.personalization import Ditto, FedRep
from afl_sim.scenario.sections.training import Training
from afl_sim.scenario.wording import show


def without_client_tests(evaluation: Any, strategy: Any) -> Iterator[Finding]:
    """A schedule that reads accuracies which no evaluation measures."""
    if evaluation is None or strategy is None or evaluation.per_client:
        return
    if getattr(strategy, "reads_client_tests", False) is True:
        yield Finding(
            ("evaluation", "per_client"),
            f"got false, but {strategy.kind} reads the accuracy on each client's own test samples; "
            "expected true, with data.client_test above 0",
        )


def beside_gradients(training: Training | None, strategy: NamedBlock | None) -> Iterator[Finding]:
    """What changes local training has no effect on clients that send gradients."""
    if training is None or strategy is None or not getattr(strategy, "gradient", False):
        return
    why = f"clients of {strategy.kind} send gradients and do not train, so that it has no effect"
    if training.proximal > 0:
        yield Finding(("training", "proximal"), f"got {training.proximal:g}, but {why}; expected 0")
    if training.lr_schedule.kind != "constant":
        yield Finding(
            ("training", "lr_schedule"),
            f"got {show(training.lr_schedule.kind)}, but {why}; expected constant, and a "
            "server_optimizer or lr of the strategy",
        )


def compressed_beside_own(
    training: Training | None, strategy: NamedBlock | None
) -> Iterator[Finding]:
    """An update determines the client's model only if the server knows where the client began."""
    uses_own = getattr(type(strategy), "uses_own", None)
    if training is None or strategy is None or uses_own is None or not uses_own():
        return
    if training.compression.upload.kind != "none":
        yield Finding(
            ("training", "compression", "upload"),
            f"the clients of {strategy.kind} keep a model or a state of their own, which would "
            "have to be sent, too; expected none",
        )


def biased_updates(training: Training | None, strategy: NamedBlock | None) -> Iterator[Finding]:
    """A schedule that goes by the variance of compressed updates."""
    if training is None or not getattr(strategy, "needs_unbiased_updates", False):
        return
    kind = training.compression.upload.kind
    if strategy is not None and kind not in ("none", "randk"):
        yield Finding(
            ("training", "compression", "upload"),
            f"got {show(kind)}, but {strategy.kind} goes by the variance of an unbiased "
            "compression, which is known for none and randk; expected one of these",
        )


def beside_public(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """What does not go with a strategy whose server and clients have a batch in common.

    Args:
        sections: a scenario's attributes, by name, as far as they are valid.
    """
    strategy: Any = sections.get("strategy")
    public = getattr(strategy, "public_batch", None)
    if public is None:
        return
    who = f"the clients of {strategy.kind}"
    data, model, training = (sections.get(name) for name in ("data", "model", "training"))
    if data is not None and public.source == "validation" and data.validation == 0:
        yield Finding(
            ("data", "validation"),
            f"got 0, but {who} and its server have samples of it in common; expected a share above "
            "0",
        )
    if training is None:
        return
    if training.compression.upload.kind != "none":
        yield Finding(
            ("training", "compression", "upload"),
            f"{who} differentiate the models that they have trained, which the server does not get "
            "if updates are compressed; expected none",
        )
    message = f"{who} differentiate a whole model, but would keep parts of it; expected "
    if getattr(model, "kept_by_clients", None) is not None:
        yield Finding(("model", "personal"), f"{message}a model without personal parts")
    elif isinstance(training.personalization, FedRep | Ditto):
        yield Finding(("training", "personalization"), f"{message}null")


def other_than_plain_sgd(
    training: Training | None, strategy: NamedBlock | None
) -> Iterator[Finding]:
    """A rule that computes a gradient from local work can do so only for plain SGD."""
    if training is None or strategy is None or not getattr(strategy, "plain_sgd", False):
        return
    optimizer: Any = training.optimizer  # of a class that the scenario does not know
    why = (
        f"the rule of {strategy.kind} assumes that clients make steps w - lr g; expected SGD "
        "without momentum, with a rate above 0"
    )
    if optimizer.kind != "SGD":
        yield Finding(("training", "optimizer", "kind"), f"got {optimizer.kind!r}, but {why}")
        return
    if getattr(optimizer, "momentum", 0.0):
        yield Finding(
            ("training", "optimizer", "momentum"), f"got {optimizer.momentum:g}, but {why}"
        )
    if getattr(optimizer, "lr", 1.0) == 0:
        yield Finding(("training", "optimizer", "lr"), f"got 0, but {why}")


def queued_beside_own(
    clients: Clients | None, training: Training | None, strategy: NamedBlock | None
) -> Iterator[Finding]:
    """A queued task was sent before the client knew its state after the tasks in front of it."""
    if clients is None or strategy is None:
        return
    queues = getattr(strategy, "queues_at_clients", False)
    uses_own = getattr(type(strategy), "uses_own", None)
    if clients.queue == "fifo" and uses_own is not None and uses_own():
        yield Finding(
            ("clients", "queue"),
            f"the clients of {strategy.kind} continue from the state after their last task, which "
            "is unknown when a queued task is sent; expected none",
        )
    elif clients.queue == "fifo" and getattr(strategy, "polls", False):
        yield Finding(
            ("clients", "queue"),
            f"{strategy.kind} polls its clients, which is impossible for clients that queue "
            "tasks; expected none",
        )
    feeds_back = training is not None and training.compression.feeds_back
    if feeds_back and (clients.queue == "fifo" or queues):
        yield Finding(
            ("training", "compression", "upload", "error_feedback"),
            "the entries that a client has not sent are added to its next update, but they are "
            "unknown when a queued task is sent; expected false if clients queue tasks",
        )


def tasks_of_one_length(clients: Any, strategy: NamedBlock | None) -> Iterator[Finding]:
    """Steps that are given by a client's speed, where its tasks last as long whatever they are."""
    if clients is None or strategy is None or not getattr(strategy, "assigns_steps", False):
        return
    for path, fleet in _fleets(clients):
        if fleet.compute.unit == "task" and fleet.devices is None:
            yield Finding(
                (*path, "compute", "seconds_per_task"),
                f"a task takes as long whatever its steps are, but {strategy.kind} gives clients "
                "steps by the time that one takes; expected seconds_per_step or "
                "seconds_per_sample",
            )


def tasks_cut_short(clients: Any, strategy: NamedBlock | None) -> Iterator[Finding]:
    """Reports of the times of whole tasks, where clients that leave send a part of their work."""
    if clients is None or strategy is None or not getattr(strategy, "reads_timing", False):
        return
    for path, fleet in _fleets(clients):
        if fleet.availability.on_leave == "partial":
            yield Finding(
                (*path, "availability", "on_leave"),
                f"got 'partial', but {strategy.kind} learns from the times that clients report of "
                "whole tasks; expected lost, paused or finish",
            )


def _fleets(clients: Any) -> list[tuple[KeyPath, Any]]:
    """The groups of a fleet, or the whole, with their key paths."""
    groups: list[tuple[KeyPath, Any]] = [
        (("clients", "groups", i), group) for i, group in enumerate(clients.groups)
    ]
    return groups or [(("clients",), clients)]
