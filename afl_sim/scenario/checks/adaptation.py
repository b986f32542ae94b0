"""Whether a strategy has what ``server.adaptive`` changes, and can work over its whole range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.sections.controllers import Controller, Setting, Utilisation, settings_of

_PATH = ("server", "adaptive")


def adaptation_findings(sections: Mapping[str, Any], clients: int | None) -> Iterator[Finding]:
    """The mistakes in ``server.adaptive`` beside the strategy and the fleet.

    Args:
        sections: a scenario's attributes, by name, as far as they are valid.
        clients: the number of clients, where it is known.
    """
    server, strategy = sections.get("server"), sections.get("strategy")
    rule = None if server is None else server.adaptive
    if rule is None:
        return
    if isinstance(rule, Utilisation):
        yield from _nothing_busy(rule, server)
    if strategy is None:
        return
    adapts = getattr(strategy, "adapts", ())
    if not adapts:
        yield Finding(
            _PATH,
            f"strategy {strategy.kind} has no setting that can change during a run; expected "
            "another strategy, such as fedbuff, fedasync or port, or null",
        )
        return
    for name in settings_of(rule):
        if name not in adapts:
            key = "adjust" if "adjust" in type(rule).model_fields else "kind"
            yield Finding(
                (*_PATH, key),
                f"changes {name}, which strategy {strategy.kind} has not as a setting that can "
                f"change; expected a rule that changes {' or '.join(adapts)}",
            )
        elif clients is not None and not isinstance(rule, Controller):
            yield from _range(rule, name, strategy, clients)


def _nothing_busy(rule: Utilisation, server: Any) -> Iterator[Finding]:
    """A target of something that is never busy."""
    can_be = {
        "download": server.download.kind != "uncontended",
        "upload": server.upload.kind != "uncontended",
        "aggregation": server.aggregation_seconds.constant != 0,
    }
    if can_be[rule.of] if rule.of in can_be else any(can_be.values()):
        return
    expected = {
        "busiest": "server.download or server.upload of kind fifo or shared, or "
        "server.aggregation_seconds above 0",
        "aggregation": "server.aggregation_seconds above 0",
    }.get(rule.of, f"server.{rule.of} of kind fifo or shared")
    never = f"the server's {rule.of} is never busy" if rule.of in can_be else "nothing is ever busy"
    yield Finding((*_PATH, "of"), f"{never}; expected {expected}")


def _range(rule: Any, name: Setting, strategy: Any, clients: int) -> Iterator[Finding]:
    """A range that the setting cannot have."""
    if name == "concurrency":
        for key in ("least", "most"):
            value = getattr(rule, key)
            if value is not None and value > clients:
                yield Finding(
                    (*_PATH, key),
                    f"{value} is more than there are clients; expected at most {clients}",
                )
                return
    value = getattr(strategy, name)
    begin = clients if value == "all" else value
    most = max(clients, rule.least) if rule.most is None else rule.most
    if not rule.least <= begin <= most:
        key = "least" if begin < rule.least else "most"
        yield Finding(
            (*_PATH, key),
            f"the run begins with strategy.{name} {begin}; expected a range that holds it, got "
            f"{rule.least} to {most}",
        )
        return
    for key, end in (("least", rule.least), ("most", most)):
        adapted = strategy.model_copy(update={name: end})
        known = {message for _, message in strategy.check(clients)}
        for path, message in adapted.check(clients):
            if message not in known:
                yield Finding(
                    (*_PATH, key),
                    f"with {name} {end} the strategy cannot work: {'.'.join(path)}: {message}",
                )
