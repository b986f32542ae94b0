"""Random small worlds: any fleet, network, availability and strategy, with many ties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st
from world_runs import MODEL_BYTES, Outcome, TooLong, run, scenario

from afl_sim.errors import ScheduleError
from afl_sim.scenario import Scenario
from afl_sim.scenario.bundled import scenario_folder

KEEPING = ("quafl", "favas", "safa", "asofed", "scaffold", "feddyn", "flanp", "fedac")
"""Their clients go on from what they have of their own, which does not go with queues."""

RECALLING = ("fedavg", "fedprox", "quafl", "favas", "port")
"""They ask clients for what they have done so far."""

NEEDING_TIME = (
    *("async_weighted", "rescaled_asgd", "optimized_asyncsgd"),
    *("fedcompass", "fedqueue", "shadowheart"),
)
"""They need tasks that take time."""

BUFFERED = ("fedstaleweight", "momentum_approximation", "fedac", "fedpsa")

KINDS = (
    *("fedavg", "fedprox", "fedasync", "fedbuff", "ringmaster", "fedat", "quafl", "asyncsgd"),
    *("rennala", "malenia", "ringleader", "ia2sgd", "delay_adaptive", "generalized_asyncsgd"),
    *("async_weighted", "scaffold", "feddyn", "flanp", "favas", "port", "safa", "tifl", "asofed"),
    *("ca2fl", "fadas", "mifa", "fedfix", "aced", "dude_asgd", "rescaled_asgd", "area", "fedfa"),
    *("fedcompass", "optimized_asyncsgd", "fedstaleweight", "momentum_approximation", "fedac"),
    *("mindflayer", "ata", "fedqueue", "rennala_mvr", "shadowheart", "fedasmu"),
    "fedpsa",
)
"""Every strategy."""

seconds = st.sampled_from([0.5, 1, 1.5, 2, 7])  # few values: ties


@st.composite
def laws(draw: st.DrawFn, clients: int | None, *, steady: bool = False) -> Any:
    """A distribution of durations in any of the forms that a scenario can say.

    Without ``clients`` they are the server's own, and ``steady`` ones are drawn once for each.
    """
    scale = draw(seconds)
    forms = [
        scale,
        {"dist": "expon", "scale": scale},
        {"dist": "uniform", "scale": scale},
        {"dist": "randint", "low": 0, "high": 4},
        {"mixture": [{"weight": 3, "dist": "expon"}, {"weight": 1, "sequence": [9]}]},
    ]
    if not steady:
        forms.append({"sequence": [scale, 0, 3]})
    if clients is not None:
        forms.append({"values": draw(st.lists(seconds, min_size=clients, max_size=clients))})
    return draw(st.sampled_from(forms))


@st.composite
def strategies(draw: st.DrawFn, clients: int, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """Any of these strategies, with any of its ways to treat a task."""
    some = st.integers(1, clients)
    concurrency = draw(some | st.just("all"))
    kind = draw(st.sampled_from(kinds))
    block: dict[str, Any] = {"kind": kind}
    if kind in ("fedavg", "fedprox"):
        m = draw(some)
        block["clients_per_round"] = m
        block["over_selection"] = (draw(st.integers(m, clients)) - m) / m
        block["deadline"] = draw(st.none() | seconds)
        block["late"] = draw(st.sampled_from(["cancel", "discard"]))
        block["partial"] = "drop"
        if block["deadline"] or block["over_selection"] or kind == "fedprox":
            block["partial"] = draw(st.sampled_from(["drop", "keep"]))
        if kind == "fedprox":
            block["stragglers"] = draw(st.sampled_from([0, 0.5, 1]))
            block["straggler_epochs"] = 3
    elif kind in ("fedat", "tifl"):
        tiers = draw(some)
        block |= {"tiers": tiers, "clients_per_round": draw(st.integers(1, clients // tiers))}
    elif kind == "fedfix":
        block["interval"] = draw(seconds)
    elif kind in ("safa", "mifa", "scaffold", "feddyn"):
        block["clients_per_round"] = draw(some)
        if kind == "safa":
            block["lag_tolerance"] = draw(st.integers(0, 3))
    elif kind == "flanp":
        block |= {"initial_clients": draw(some), "stage_rounds": draw(st.integers(1, 4))}
    elif kind in ("quafl", "favas"):
        block |= {"clients_per_round": draw(some), "local_steps": draw(st.integers(1, 4))}
        block |= {"interaction_seconds": draw(seconds), "wait_seconds": draw(st.just(0) | seconds)}
    elif kind == "aced":
        block["staleness_limit"] = draw(st.none() | st.integers(0, 5))
    elif kind == "dude_asgd":
        block["workers_per_step"] = draw(some)
    elif kind == "area":
        block["buffer_size"] = draw(st.integers(1, 5))
        block["replacement"] = draw(st.sampled_from(["before_step", "after_step"]))
    elif kind == "fedcompass":
        least = draw(st.integers(1, 4))
        block |= {"min_steps": least, "max_steps": draw(st.integers(least, 9))}
    elif kind == "fedqueue":
        block |= {"warm_up_steps": draw(st.integers(1, 4)), "round_seconds": draw(seconds)}
        block["max_steps"] = draw(st.integers(4, 9))
        block |= {"queue_seconds": draw(seconds), "admission": draw(st.sampled_from([0, 0.2, 9]))}
    elif kind not in ("malenia", "ringleader", "ia2sgd", "async_weighted"):
        block["concurrency"] = concurrency
        if kind in ("generalized_asyncsgd", "optimized_asyncsgd"):
            block["concurrency"] = draw(st.integers(1, 2 * clients))
        elif kind == "fedasync":
            block["max_staleness"] = draw(st.none() | st.integers(0, 3))
        elif kind == "fedasmu":
            block["staleness_limit"] = draw(st.none() | st.integers(1, 4))
            block["request_after"] = draw(st.none() | st.sampled_from([0.1, 0.5, 0.9]))
        elif kind in ("fedbuff", "port", "ca2fl", "fadas", *BUFFERED):
            most = clients if concurrency == "all" else concurrency
            block["buffer_size"] = draw(st.integers(1, most))
            if kind == "port":
                block["staleness_bound"] = draw(st.integers(1, 4))
        elif kind == "mindflayer":
            block |= {"trials": draw(st.integers(1, 3)), "allotted_seconds": draw(seconds)}
        elif kind == "fedfa":
            block["queue_size"] = draw(st.integers(1, 5))
        elif kind in ("rennala", "rennala_mvr", "ata"):
            block["batch_size"] = draw(st.integers(1, 5))
            if kind == "ata":
                block["alpha"] = draw(st.none() | st.sampled_from([0.01, 1.0]))
        elif kind == "shadowheart":
            block["noise"] = draw(st.sampled_from([0, 1, 7]))
        elif kind == "ringmaster":
            block["delay_threshold"] = draw(st.integers(1, 4))
    return block


@st.composite
def client_links(draw: st.DrawFn, clients: int) -> Any:
    """A client's link: latency alone, or every kind of trouble."""
    return draw(
        st.just(0)
        | laws(clients, steady=True)
        | st.fixed_dictionaries(
            {
                "latency": seconds,
                "bandwidth": st.just(MODEL_BYTES),
                "jitter": st.sampled_from([1, 0, {"dist": "expon"}]),
                "loss": st.sampled_from([0, 0.5]),
            }
        )
        | st.fixed_dictionaries(
            {
                "latency": st.just(0) | seconds,
                "bandwidth_trace": st.fixed_dictionaries(
                    {
                        "trace": st.just(str(scenario_folder() / "traces" / "uplinks.csv")),
                        "factor": st.sampled_from([0.001, 0.1]),
                        "random_start": st.booleans(),
                    }
                ),
                "jitter": st.sampled_from([1, 0, {"dist": "expon"}]),
                "loss": st.sampled_from([0, 0.5]),
            }
        )
    )


server_links = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["uncontended", "fifo", "shared"]),
        "bandwidth": st.sampled_from([MODEL_BYTES, 3 * MODEL_BYTES]),
        "jitter": st.sampled_from([1, 0, {"dist": "expon"}]),
    }
)


@st.composite
def availabilities(draw: st.DrawFn, clients: int) -> dict[str, Any]:
    """When clients are there, and what becomes of their work."""
    block: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"kind": "always"},
                {"kind": "on_off", "on": draw(laws(clients)), "off": draw(laws(clients))},
                {"kind": "diurnal", "period": 5, "share": draw(st.sampled_from([0.1, 0.5, 1]))},
                {"kind": "bernoulli", "probability": draw(st.sampled_from([0, 0.3, 0.9]))},
            ]
        )
    )
    block["on_leave"] = draw(st.sampled_from(["lost", "paused", "partial", "finish"]))
    block["joins"] = draw(st.sampled_from([0, {"dist": "expon", "scale": 3}]))
    block["leaves"] = draw(st.sampled_from([None, None, {"dist": "expon", "scale": 20}]))
    return block


FAULTS: dict[str, st.SearchStrategy[Any]] = {
    "crash": st.sampled_from([0.4, 0.1]),
    "crash_from": st.sampled_from([0, 4]),
    "noticed_after": st.sampled_from([1, 3.5, 30]),
    "upload_loss": st.fixed_dictionaries(
        {
            "probability": st.sampled_from([0.5, 0.1]),
            "retries": st.sampled_from([0, 2]),
            "timeout": st.sampled_from([0, 1.5]),
            "backoff": st.sampled_from([0, 1]),
        }
    ),
    "corruption": st.just({"probability": 0.5}),
    "duplication": st.just({"probability": 0.5, "delay": {"dist": "expon"}}),
}
faults = st.fixed_dictionaries({}, optional=FAULTS)
late_crashes = st.fixed_dictionaries(
    {name: FAULTS.pop(name) for name in ("crash", "noticed_after")}, optional=FAULTS
)
"""Tasks crash, and the server notices later; perhaps with other faults."""


selections = st.sampled_from(
    [
        *("uniform", "round_robin", "without_replacement", "oort"),
        {"kind": "weighted", "by": "samples"},
        {"kind": "weighted", "by": "speed", "exponent": -2},
        {"kind": "power_of_choice", "candidates": 3},
        {"kind": "oort", "exploration": 0, "preferred_seconds": 3},
    ]
)

pauses = st.fixed_dictionaries(
    {"every": st.sampled_from([3, {"dist": "expon", "scale": 4}]), "lasts": seconds}
)


groups = st.sampled_from(
    [
        [],
        [
            {"name": "slow", "share": 0.5, "compute": {"seconds_per_step": 2}},
            {"name": "near", "share": 0.5, "network": {"upload": {"latency": 0}}},
        ],
        [
            {"name": "a", "share": 0.5, "exactly": False, "compute": {"jitter": 3}},
            {"name": "b", "share": 0.5, "exactly": False, "network": {"download": {"loss": 0.2}}},
        ],
    ]
)


@st.composite
def worlds(
    draw: st.DrawFn,
    kinds: Sequence[str] = KINDS,
    faults: st.SearchStrategy[dict[str, Any]] = faults,
) -> Scenario:
    """A scenario of a few clients that ends soon."""
    clients = draw(st.integers(1, 7))
    lognormal = {"dist": "lognorm", "s": 1.0, "scale": 0.1}
    speed = draw(
        st.sampled_from(
            [
                {"seconds_per_task": draw(laws(clients, steady=True))},
                {"seconds_per_step": draw(st.sampled_from([0.5, lognormal]))},
                {"seconds_per_sample": draw(st.sampled_from([0.1, lognormal]))},
            ]
        )
    )
    compute = {
        **speed,
        "jitter": draw(st.sampled_from([1, 0.5, {"dist": "expon"}, {"sequence": [2, 0.5, 1]}])),
        "jitter_seconds": draw(st.just(0) | laws(clients)),
        "jitter_per": draw(st.sampled_from(["task", "step"])),
    }
    evaluation = draw(st.sampled_from([{}, {"every_seconds": 1.5}, {"every_versions": 2}]))
    stop = {"virtual_seconds": draw(st.sampled_from([5, 60])), "versions": draw(st.integers(1, 25))}
    stop |= draw(st.sampled_from([{}, {"updates": 29}, {"samples": 700}]))
    strategy = draw(strategies(clients, kinds))
    availability = draw(availabilities(clients))
    if strategy["kind"] == "fedqueue" and availability["on_leave"] == "partial":
        availability["on_leave"] = "paused"  # a task that is cut short has no report of its time
    unqueued = strategy["kind"] in (*KEEPING, "fedasmu")
    queue = "none" if unqueued else draw(st.sampled_from(["none", "fifo"]))
    if strategy["kind"] in NEEDING_TIME:
        compute["jitter_seconds"] = 0.25
    if strategy.get("stragglers") == 1 and strategy["partial"] == "drop":
        queue = "none"  # nobody is waited for: rounds would follow each other without an end
    return scenario(
        clients,
        strategy=strategy,
        compute=compute,
        down=draw(client_links(clients)),
        up=draw(client_links(clients)),
        fleet={
            "availability": availability,
            "faults": draw(faults),
            "queue": queue,
            "groups": draw(groups) if clients > 2 else [],
        },
        server={
            "aggregation_seconds": draw(st.just(0) | laws(None)),
            "selection": draw(selections),
            **draw(st.fixed_dictionaries({}, optional={"download": server_links})),
            **draw(st.fixed_dictionaries({}, optional={"upload": server_links})),
            **draw(st.fixed_dictionaries({}, optional={"pauses": pauses})),
        },
        training=draw(st.sampled_from([{"steps": 4}, {"epochs": 2, "batch_size": 4}])),
        evaluation=evaluation,
        stop=stop,
        seed=draw(st.integers(0, 2**63 - 1)),
    )


MOST_ROWS = 50_000
NO_EXAMPLE = (
    "no idle client will ever be there again",  # all are gone for good
    "weights need tasks that take time",  # a client whose every leg was drawn to take none
    "the scheduler needs the time of a step",  # a client that waits, and computes in no time
)


def outcome_of(world: Scenario, *, foresees: bool = True) -> Outcome:
    """Run it, or reject a world that is refused with good reason, or takes minutes.

    A client whose tasks take a microsecond each has millions of them while others come to join.
    """
    try:
        return run(world, most_rows=MOST_ROWS, foresees=foresees)
    except TooLong:
        reject()
    except ScheduleError as error:
        if any(reason in str(error) for reason in NO_EXAMPLE):
            reject()
        raise
