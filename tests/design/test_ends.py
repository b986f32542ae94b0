"""A winner at the end of what may vary is told as such."""

from __future__ import annotations

import pytest
from designs import BASE, design

from afl_sim.design.ends import at_ends, sentences
from afl_sim.design.reading import read_problem

VARY = """\
    strategy:
      - {kind: fedavg, clients_per_round: {choices: [8, 2, 4]}}
      - {kind: fedbuff, concurrency: {integers: [2, 4]}, buffer_size: 2}
    training.optimizer.lr: {numbers: [0.01, 0.1]}
    training.epochs: [2]
"""
SPACE = read_problem(BASE + design(VARY)).space
FEDAVG = {"strategy": "fedavg", "training.epochs": 2}
FEDBUFF = {"strategy": "fedbuff", "training.epochs": 2}
SIZE, SENT = "strategy.fedavg.clients_per_round", "strategy.fedbuff.concurrency"
RATE = "training.optimizer.lr"


@pytest.mark.parametrize(
    ("point", "told"),
    [
        ({**FEDAVG, SIZE: 4, RATE: 0.03}, []),
        ({**FEDAVG, SIZE: 2, RATE: 0.03}, ["m=2"]),
        ({**FEDAVG, SIZE: 8, RATE: 0.1}, ["m=8", "lr=0.1"]),
        ({**FEDBUFF, SENT: 3, RATE: 0.01}, ["lr=0.01"]),
        ({**FEDBUFF, SENT: 4, RATE: 0.05}, ["concurrency=4"]),
    ],
)
def test_the_ends_of_ranges_and_of_numbers_to_choose_from(
    point: dict[str, object], told: list[str]
) -> None:
    assert at_ends(SPACE, point) == told


def test_it_is_said_in_a_sentence_if_there_is_something_to_say() -> None:
    assert sentences(SPACE, {**FEDAVG, SIZE: 4, RATE: 0.03}) == []
    assert sentences(SPACE, {**FEDAVG, SIZE: 2, RATE: 0.03}) == [
        "The winner has m=2, an end of its range: values beyond were not looked at, and may be "
        "better."
    ]
