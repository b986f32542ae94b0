"""Messages name what was likely meant: names of other tools, percent, lists of one entry."""

from __future__ import annotations

import pytest

from afl_sim.errors import ScenarioError
from afl_sim.run.api import read_study

BASE = {
    "model": "lenet",
    "training": "{}",
    "clients": "{count: 5}",
    "strategy": "{kind: fedbuff, concurrency: 3, buffer_size: 2}",
    "stop": "{versions: 3}",
}


def told(**sections: str) -> str:
    text = "\n".join(f"{key}: {value}" for key, value in {**BASE, **sections}.items())
    with pytest.raises(ScenarioError) as caught:
        read_study(text + "\n")
    return str(caught.value)


@pytest.mark.parametrize(
    ("sections", "meant"),
    [
        ({"training": "{optimizer: {kind: sgd, lr: 0.1}}"}, "'SGD'"),
        ({"training": "{optimizer: adam}"}, "'Adam'"),
        ({"training": "{optimizer: {kind: SGD, learning_rate: 0.1}}"}, "'lr'"),
        ({"training": "{learning_rate: 0.1}"}, "'training.optimizer.lr'"),
        ({"training": "{lr: 0.1}"}, "'training.optimizer.lr'"),
        ({"training": "{loss: mae}"}, "'l1'"),
        ({"training": "{loss: CrossEntropyLoss}"}, "'cross_entropy'"),
        ({"numerics": "{device: gpu}"}, "'cuda'"),
        ({"stop": "{rounds: 20}"}, "'versions'"),
        ({"stop": "{time: 20}"}, "'virtual_seconds'"),
        ({"strategy": "{kind: fedavg, fraction: 0.1}"}, "'clients_per_round'"),
        ({"clients": "{count: 5, seconds_per_step: 1}"}, "'clients.compute.seconds_per_step'"),
        ({"buffer_size": "5"}, "'strategy.buffer_size'"),
        ({"clients": "{num_clients: 5}"}, "'count'"),
        ({"evaluation": "{seconds: {dist: lognormal, s: 1}}"}, "'lognorm'"),
    ],
)
def test_a_name_of_another_tool_is_translated(sections: dict[str, str], meant: str) -> None:
    assert f"did you mean {meant}?" in told(**sections)


@pytest.mark.parametrize(
    ("sections", "meant"),
    [
        (
            {"stop": "{accuracy: 95}"},
            "stop.accuracy: got 95; expected at most 1; did you mean 0.95",
        ),
        ({"stop": "{accuracy: 95 %}"}, "did you mean 0.95"),
        ({"stop": "{metrics: {accuracy: 95}}"}, "stop.metrics.accuracy: got 95; expected a share"),
        ({"evaluation": "{targets: [90]}"}, "did you mean 0.9?"),
        ({"evaluation": "{targets: {accuracy: [90]}}"}, "evaluation.targets.accuracy: got 90"),
        ({"data": "{validation: 20 %}"}, "did you mean 0.2?"),
    ],
)
def test_percent_is_shown_as_a_share(sections: dict[str, str], meant: str) -> None:
    assert meant in told(**sections)


@pytest.mark.parametrize(
    ("sections", "meant"),
    [
        ({"model": "{kind: mlp, hidden: 200}"}, "model.hidden: got 200; expected a list"),
        ({"model": "{kind: mlp, hidden: 200}"}, "did you mean [200]?"),
        ({"evaluation": "{targets: 0.9}"}, "did you mean [0.9]?"),
    ],
)
def test_one_value_is_shown_as_a_list(sections: dict[str, str], meant: str) -> None:
    assert meant in told(**sections)


@pytest.mark.parametrize(
    "sections",
    [
        {"strategy": "{kind: fedbuff, concurrency: 3, buffer_size: 2, staleness: polynomial}"},
        {"strategy": "{kind: fedbuff, concurrency: 3, buffer_size: 2, server_optimizer: SGD}"},
        {"server": "{selection: round_robin, upload: uncontended, download: uncontended}"},
        {"training": "{lr_schedule: inverse_sqrt, compression: {upload: bf16, download: qsgd}}"},
        {"training": "{augment: [horizontal_flip], loss: huber}"},
        {"clients": "{count: 5, availability: always}"},
        {"data": "{partition: iid}"},
    ],
)
def test_a_block_that_needs_only_its_kind_may_be_that_word(sections: dict[str, str]) -> None:
    text = "\n".join(f"{key}: {value}" for key, value in {**BASE, **sections}.items())
    assert read_study(text + "\n").cases


def test_a_kind_alone_that_needs_more_says_what() -> None:
    assert "server.upload: does not say its bandwidth; expected bandwidth" in told(
        server="{upload: fifo}"
    )


@pytest.mark.parametrize("kind", ["[]", "{}", "[mnist]", "3"])
@pytest.mark.parametrize(
    "sections",
    [
        {"data": "{dataset: {kind: KIND}}"},
        {"data": "{partition: {kind: KIND}}"},
        {"training": "{augment: [{kind: KIND}]}"},
        {"training": "{optimizer: {kind: KIND}}"},
        {"model": "{kind: KIND}"},
        {"strategy": "{kind: KIND}"},
        {"strategy": "{kind: fedasync, staleness: {kind: KIND}}"},
        {"clients": "{count: 3, availability: {kind: KIND}}"},
        {"server": "{selection: {kind: KIND}, adaptive: {kind: KIND}}"},
    ],
)
def test_a_kind_that_is_no_name_is_told(sections: dict[str, str], kind: str) -> None:
    assert ".kind: " in told(**{key: text.replace("KIND", kind) for key, text in sections.items()})
