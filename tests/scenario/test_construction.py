"""Scenarios and sections made in Python: the messages are those of a file, without its lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from afl_sim import Scenario, Strategy
from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario, read_study
from afl_sim.scenario import (
    Clients,
    Compute,
    Distribution,
    Evaluation,
    Network,
    Stop,
    Training,
    UncheckedBlock,
    dump_scenario,
)
from afl_sim.scenario.sections.network import Link
from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
from afl_sim.strategies import strategies

GOOD: dict[str, Any] = {
    "clients": {"count": 5},
    "strategy": {"kind": "fedbuff", "concurrency": 3},
    "stop": {"updates": 10},
}
MISTAKES: list[dict[str, Any]] = [
    {"strategy": {"kind": "fedbuff", "concurency": 3}},
    {"strategy": {"kind": "fedbuf"}},
    {"strategy": 3},
    {"strategi": "fedbuff"},
    {"clients": {"count": "three"}, "stop": {"update": 3}},
    {"clients": {"count": 5, "compute": {"seconds_per_sampel": 1}}},
    {"clients": {"count": 5, "groups": [{"name": "a", "shar": 1.0}]}},
    {"clients": {"count": 5, "network": {"upload": {"latency": -1}}}},
    {"training": {"optimizer": {"kind": "SGD", "lrr": 0.1}}},
    {"training": {"epochs": 1, "steps": 2}},
    {"seed": True},
    {"evaluation": {"on": "validation"}},
    {"strategy": {"kind": "fedbuff", "concurrency": 9}},
    {"sweep": {"sed": [1, 2]}},
]


def message(make: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        make()
    return str(caught.value).splitlines()


def of_file(settings: dict[str, Any], folder: Path) -> list[str]:
    """What is said of a file with these settings, without file and line."""
    file = folder / "scenario.yaml"
    file.write_text(yaml.safe_dump(settings))
    found = message(lambda: load_scenario(file))
    return sorted(line.split(": ", 1)[1] for line in found)


@pytest.mark.parametrize("wrong", MISTAKES, ids=str)
def test_a_dictionary_has_the_messages_of_a_file(wrong: dict[str, Any], tmp_path: Path) -> None:
    settings = GOOD | wrong
    assert sorted(message(lambda: load_scenario(settings))) == of_file(settings, tmp_path)


@pytest.mark.parametrize("wrong", MISTAKES[:-1], ids=str)
def test_a_scenario_made_of_keywords_has_the_messages_of_a_file(
    wrong: dict[str, Any], tmp_path: Path
) -> None:
    settings = GOOD | wrong
    assert sorted(message(lambda: Scenario(**settings))) == of_file(settings, tmp_path)


def test_a_misspelt_key_of_the_strategy_names_the_nearest_one() -> None:
    (line,) = message(lambda: Scenario(**GOOD | MISTAKES[0]))
    assert line.startswith("strategy.concurency: unknown key; expected one of kind, ")
    assert line.endswith("did you mean 'concurrency'?")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Evaluation(every_version=3), "every_version: unknown key; expected one of every_"),
        (lambda: Stop(), "no stop rule; expected at least one of virtual_seconds, versions"),
        (lambda: Clients(count="three"), "count: got 'three'; expected a whole number"),
        (lambda: Compute(seconds_per_task=-1), "seconds_per_task: got -1; expected "),
        (lambda: Network(upload={"latency": "x"}), "upload.latency: "),
        (
            lambda: Training(optimizer={"kind": "SDG"}),
            "optimizer.kind: unknown optimizer 'SDG'; expected one of ASGD",
        ),
        (
            lambda: Training(optimizer={"kind": "SGD", "lrr": 1}),
            "optimizer.lrr: unknown key; expected one of kind, lr",
        ),
        (lambda: strategies()["fedbuff"](concurrency="3"), "concurrency: got '3'; expected a num"),
        (lambda: Own(concurency=3), "concurency: unknown key; expected one of kind, server_opt"),
    ],
)
def test_a_section_made_in_python_tells_its_mistakes_as_a_file(make: Any, expected: str) -> None:
    (line,) = message(make)
    assert line.startswith(expected)


class Own(Strategy):
    concurrency: int = 5


def test_the_metrics_of_clients_are_found_where_evaluations_are_set() -> None:
    (line,) = message(lambda: Scenario(**GOOD, recording={"client_metrics": True}))
    assert line.startswith("recording.client_metrics: unknown key; expected one of trace, ")
    assert line.endswith("; evaluation.per_client: true measures each client's metrics")


def test_sections_of_the_wrong_kind_are_refused() -> None:
    (line,) = message(lambda: Scenario(**GOOD | {"clients": Evaluation()}))
    assert line == "clients: got a block Evaluation; expected a block of keys"
    (line,) = message(lambda: Scenario(**GOOD | {"strategy": Evaluation()}))
    assert line.startswith("strategy: got ")
    unchecked = UncheckedBlock(kind="fedbuff", concurency=3)
    (line,) = message(lambda: Scenario(**GOOD | {"strategy": unchecked}))
    assert line.startswith("strategy.concurency: unknown key")


def test_sections_own_strategies_and_numbers_of_numpy_are_welcome() -> None:
    made = Scenario(
        clients=Clients(count=np.int64(5), compute=Compute(seconds_per_task=Distribution(2.0))),
        strategy=Own(concurrency=2),
        stop=Stop(updates=10),
    )
    assert made.clients.compute.seconds_per_task == Distribution(2.0)
    assert isinstance(made.strategy, Own)
    read = load_scenario({**GOOD, "clients": made.clients, "seed": np.uint8(3)})
    assert read.clients == made.clients
    assert read.seed == 3


def test_a_made_scenario_is_the_one_of_a_file(tmp_path: Path) -> None:
    made = Scenario(**GOOD)
    file = tmp_path / "scenario.yaml"
    file.write_text(dump_scenario(made))
    assert load_scenario(file) == made == load_scenario(GOOD)


def test_a_scenario_with_other_settings_is_checked_again() -> None:
    made = Scenario(**GOOD)
    assert made.replace(stop={"updates": 3}).stop.updates == 3
    assert made.replace(seed=4).strategy == made.strategy
    (line,) = message(lambda: made.replace(stopp={"updates": 3}))
    assert line.endswith("did you mean 'stop'?")
    (line,) = message(lambda: made.replace(clients={"count": 2}))
    assert line.startswith("strategy.concurrency: 3 is more than there are clients")
    (line,) = message(lambda: made.model_copy(update={"strateggy": "fedavg"}))
    assert line.endswith("did you mean 'strategy'?")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"seed": float("nan")}, "seed: nan is not a finite number"),
        ({"seed": 2**70}, "seed: a whole number too large to use; expected less than 2**63"),
        ({"stop": {"updates": {1, 2}}}, "stop.updates: got a set; expected text, a number"),
        ({3: 4}, "a key 3; expected a word"),
    ],
)
def test_what_no_file_can_say_is_refused(settings: dict[Any, Any], expected: str) -> None:
    (line,) = message(lambda: load_scenario(GOOD | settings))
    assert line.startswith(expected)


def test_a_dictionary_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["clients"] = endless
    (line,) = message(lambda: load_scenario(endless))
    assert line == "clients: nested more than 50 levels deep"


def test_a_dictionary_can_be_a_study() -> None:
    sweep = {"seed": [1, 2], "strategy": ["fedasync", {"kind": "fedbuff"}]}
    study = read_study(GOOD | {"clients": {"count": 30}, "sweep": sweep})
    assert [case.label for case in study.cases] == [
        *("seed-1_fedasync", "seed-1_fedbuff", "seed-2_fedasync", "seed-2_fedbuff"),
    ]
    assert yaml.safe_load(study.source)["sweep"] == sweep


def test_a_notebook_shows_a_scenario_as_yaml() -> None:
    shown = Scenario(**GOOD, description="a <b> & c")._repr_html_()
    given, whole = shown.split("<details>")
    assert "strategy: {kind: fedbuff, concurrency: 3}" in given
    assert "a &lt;b&gt; &amp; c" in given
    assert "batch_size" not in given
    assert "batch_size: 32" in whole


def test_a_block_that_names_a_file_has_read_it(tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    file.write_text("start,end,bandwidth_kB_per_s\n0,1,50\n")
    link = Link(bandwidth_trace=BandwidthTrace(trace=str(file), random_start=True))
    assert link.bandwidth_trace is not None
    assert link.bandwidth_trace.links[0].rates[0] == 50_000
    assert link.bandwidth_trace.sha256 is not None
    assert link == Link(bandwidth_trace={"trace": str(file), "random_start": True})
    file.write_text("start,end,bandwidth_kB_per_s\n0,1,0\n")
    with pytest.raises(ScenarioError, match="bandwidth is 0 in all rows"):
        BandwidthTrace(trace=str(file))
