"""Points of a space: how many there are, what they set, and what they are called."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from designs import BASE, design

from afl_sim.design.reading import read_problem
from afl_sim.design.space import Space
from afl_sim.design.vary import space_of
from afl_sim.scenario.yaml.nodes import compose, plain


def space(text: str) -> Space:
    root, wrong = compose(text, "<text>")
    assert not wrong
    assert isinstance(root.value, dict)
    return space_of(root.value)


class Lowest:
    """Gives the first choice and the lower end of everything."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices[0]

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return low

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low + 0.123456 * (high - low)


STRATEGIES = """\
strategy:
  - {kind: fedavg, clients_per_round: {choices: [5, 10]}}
  - {kind: fedbuff, concurrency: {integers: [1, 4]}, buffer_size: {choices: [2, 3, 5]}}
  - fedasync
training.epochs: [1, 2]
"""


def test_each_choice_has_ranges_of_its_own() -> None:
    found = space(STRATEGIES)
    assert found.size == (2 + 4 * 3 + 1) * 2
    points = list(found.points())
    assert len(points) == found.size
    assert len({repr(point) for point in points}) == len(points)
    assert points[0] == {
        "strategy": "fedavg",
        "strategy.fedavg.clients_per_round": 5,
        "training.epochs": 1,
    }
    assert found.settings(points[5]) == {
        "strategy": {"kind": "fedbuff", "concurrency": 1, "buffer_size": 2},
        "training.epochs": 2,
    }


def test_a_point_replaces_the_settings_of_the_file() -> None:
    found = space(STRATEGIES + "training.optimizer.lr: {numbers: [0.5, 0.5]}\n")
    root, _ = compose(BASE, "<text>")
    tree = plain(found.tree(root, list(found.points())[-1]))
    assert tree["strategy"] == "fedasync"
    assert tree["training"]["epochs"] == 2
    assert tree["training"]["optimizer"] == {"kind": "SGD", "lr": 0.5}
    assert tree["clients"]["count"] == 8


def test_titles_have_the_block_and_then_the_values() -> None:
    found = space(STRATEGIES + "training.optimizer.lr: [0.1, 0.01]\n")
    titles = [found.title(point) for point in found.points()]
    assert titles[0] == "fedavg m=5, epochs=1, lr=0.1"
    assert titles[-1] == "fedasync epochs=2, lr=0.01"
    assert len(set(titles)) == len(titles)


def test_blocks_of_one_kind_are_told_apart_and_may_have_labels() -> None:
    found = space("strategy: [{kind: fedavg, label: wait}, {kind: fedavg, deadline: 5}]\n")
    assert [found.title(point) for point in found.points()] == ["wait", "fedavg deadline=5"]
    assert found.settings({"strategy": "wait"}) == {"strategy": {"kind": "fedavg"}}


def test_any_number_of_an_interval_makes_a_space_infinite_and_is_rounded() -> None:
    found = space("training.optimizer.lr: {numbers: [0.1, 0.9], log: true}\n")
    assert found.size == math.inf
    assert found.suggest(Lowest()) == {"training.optimizer.lr": 0.199}


def test_the_ends_try_every_choice_and_both_ends_of_every_range() -> None:
    found = space(STRATEGIES)
    settings = [found.settings(point) for point in found.ends()]
    strategies = [each["strategy"] for each in settings]
    assert {"kind": "fedbuff", "concurrency": 4, "buffer_size": 2} in strategies
    assert {"kind": "fedbuff", "concurrency": 1, "buffer_size": 5} in strategies
    assert "fedasync" in strategies
    assert {"kind": "fedavg", "clients_per_round": 10} in strategies
    assert 2 in [each["training.epochs"] for each in settings]
    assert len(settings) < found.size


def test_a_suggested_point_is_a_point_of_the_space() -> None:
    assert space(STRATEGIES).suggest(Lowest()) == next(space(STRATEGIES).points())


def test_a_setting_without_effect_beside_a_strategy_varies_only_beside_the_others() -> None:
    text = "training.optimizer.lr: [0.1, 0.01]\n" + STRATEGIES
    found = replace(
        space(text),
        unread={"fedasync": ["training.optimizer.lr"], "fedbuff": ["training.epochs"]},
    )
    points = list(found.points())
    assert found.size == len(points) == 2 * 2 * 2 + 12 * 2 + 2
    assert len({repr(sorted(point.items(), key=repr)) for point in points}) == len(points)
    alone = [point for point in points if point["strategy"] == "fedasync"]
    assert alone == [{"strategy": "fedasync", "training.epochs": epochs} for epochs in (1, 2)]
    assert [found.title(point) for point in alone] == ["fedasync epochs=1", "fedasync epochs=2"]
    root, _ = compose(BASE, "<text>")
    tree = plain(found.tree(root, alone[1]))
    assert tree["training"]["optimizer"]["lr"] == 0.03  # as in the file
    assert found.settings(alone[0]) == {"strategy": "fedasync", "training.epochs": 1}
    assert found.suggest(Lowest()) in points


UNREAD = """\
    strategy: [ata, {kind: fedbuff, concurrency: {choices: [2, 4]}, buffer_size: 2}, fedqueue]
    training.optimizer.lr: [0.001, 0.03]
    training.epochs: [1, 2]
"""
TIMES = ("seconds_per_sample", "seconds_per_step")


def test_a_design_varies_what_the_strategies_read() -> None:
    problem = read_problem((BASE + design(UNREAD)).replace(*TIMES))
    assert problem.space.size == 2 + 2 * 2 * 2 + 2
    assert problem.left_out == {
        "training.optimizer.lr": ("ata",),
        "training.epochs": ("fedqueue",),
    }
    alone = read_problem(
        BASE + design("    strategy.lr: [0.1, 1]\n    training.optimizer.lr: [1, 2]\n"),
        ["strategy={kind: asyncsgd}"],
    )
    assert alone.space.size == 2
    assert alone.left_out == {"training.optimizer.lr": ("asyncsgd",)}


def test_fine_tuning_reads_the_rate_that_gradients_do_not() -> None:
    tuned = ["data.client_test=0.2", "evaluation={per_client: true, fine_tuning: {epochs: 1}}"]
    problem = read_problem((BASE + design(UNREAD)).replace(*TIMES), tuned)
    assert problem.left_out == {"training.epochs": ("fedqueue",)}
