"""A list of strategies is a study: a run for each, with every combination of a sweep beside it."""

from __future__ import annotations

import pytest

from afl_sim.errors import ScenarioError
from afl_sim.run.api import read_study
from afl_sim.scenario import Study

BASE = """\
name: base
data: {partition: {kind: iid, samples: 100}}
model: logistic
clients: {count: 20}
stop: {updates: 20}
"""
THREE = "[fedbuff, {kind: fedasync, concurrency: 3}, {kind: fedavg, label: Rounds (m=5)}]"


def study(strategies: str, more: str = "", *settings: str) -> Study:
    return read_study(f"{BASE}strategy: {strategies}\n{more}", settings)


def kinds(found: Study) -> list[str]:
    return [str(case.scenario.strategy.kind) for case in found.cases]  # type: ignore[attr-defined]


def test_each_strategy_is_run_and_named() -> None:
    found = study(THREE)
    assert found.is_study
    assert kinds(found) == ["fedbuff", "fedasync", "fedavg"]
    assert [case.label for case in found.cases] == ["fedbuff", "fedasync", "Rounds-m-5"]
    assert [case.title for case in found.cases] == ["fedbuff", "fedasync", "Rounds (m=5)"]


def test_it_means_what_a_sweep_over_the_strategy_means() -> None:
    listed, swept = study(THREE), read_study(f"{BASE}sweep: {{strategy: {THREE}}}\n")
    assert listed.cases == swept.cases


def test_it_goes_with_a_sweep_with_cases_and_with_replications() -> None:
    found = study("[fedbuff, fedavg]", "sweep: {training.batch_size: [16, 32]}\nreplications: 2\n")
    assert [case.label for case in found.cases][::2] == [
        "fedbuff_batch_size-16-r0",
        "fedbuff_batch_size-32-r0",
        "fedavg_batch_size-16-r0",
        "fedavg_batch_size-32-r0",
    ]
    case = "{label: small, set: {training.batch_size: 4}}"
    found = study("[fedbuff, fedavg]", f"sweep: {{cases: [{case}]}}\n")
    assert [case.title for case in found.cases] == ["fedbuff, small", "fedavg, small"]


def test_settings_from_outside_reach_the_list_and_what_is_in_it() -> None:
    assert kinds(study(THREE, "", "strategy=fedavg")) == ["fedavg"]
    assert not study(THREE, "", "strategy=fedavg").is_study
    assert kinds(study("fedavg", "", "strategy=[fedbuff, fedavg]")) == ["fedbuff", "fedavg"]
    found = study("[fedbuff, fedasync]", "", "strategy.concurrency=7", "strategy.1.alpha=0.5")
    blocks = [case.scenario.strategy.model_dump() for case in found.cases]
    assert [block["concurrency"] for block in blocks] == [7, 7]
    assert blocks[1]["alpha"] == 0.5


@pytest.mark.parametrize(
    ("strategies", "more", "told"),
    [
        ("[]", "", "<text>:6: strategy: got an empty list; expected a block with a kind"),
        ("[fedbuff, fedasinc]", "", "<text>:6: strategy.1.kind: unknown strategy 'fedasinc'"),
        ("[fedbuff, {kind: fedavg, rho: 1}]", "", "<text>:6: strategy.1.rho: unknown key"),
        ("[{kind: fedavg, label: []}]", "", "strategy.0.label: got an empty list; expected a word"),
        (
            "[fedbuff, fedavg]",
            "sweep: {strategy: [fedasync]}\n",
            "<text>:7: sweep.strategy: `strategy` lists the strategies already",
        ),
        (
            "[fedbuff, fedavg]",
            "sweep: {cases: [{set: {strategy: fedasync}}]}\n",
            "<text>:7: sweep.cases: `strategy` lists the strategies already",
        ),
    ],
)
def test_a_mistake_is_told_where_it_is(strategies: str, more: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        study(strategies, more)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(told) or told in line
