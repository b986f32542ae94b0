"""What does not go together with clients that merge a newer model during a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.sections.personalization import Ditto, FedRep


def refreshing_findings(sections: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with a strategy whose clients ask for a newer model during a task.

    Args:
        sections: a scenario's attributes, by name, as far as they are valid.
    """
    strategy: Any = sections.get("strategy")
    if getattr(strategy, "refreshes", False) is not True:
        return
    who = f"the clients of {strategy.kind}"
    if getattr(strategy, "gradient", False) is True:
        yield Finding(
            ("strategy", "kind"),
            f"{who} send gradients and do not train, so they have nothing to merge a newer model "
            "into; expected a strategy whose clients train",
        )
    clients, numerics = sections.get("clients"), sections.get("numerics")
    if clients is not None and clients.queue == "fifo":
        yield Finding(
            ("clients", "queue"),
            f"{who} ask for a newer model during a task, which is impossible for clients that "
            "queue tasks; expected none",
        )
    if numerics is not None and numerics.mode == "batched":
        yield Finding(
            ("numerics", "mode"),
            f"{who} merge a newer model during a task, which tasks that are trained together "
            "cannot; expected exact",
        )
    training, model = sections.get("training"), sections.get("model")
    message = (
        f"{who} merge a newer model during a task, but it would have no parts that a client keeps "
        "for itself; expected "
    )
    if getattr(model, "kept_by_clients", None) is not None:
        yield Finding(("model", "personal"), f"{message}a model without personal parts")
    elif isinstance(getattr(training, "personalization", None), FedRep | Ditto):
        yield Finding(("training", "personalization"), f"{message}null")
