"""Groups that hold different shares of the samples, dealt out in different ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition import deal, group_shares
from afl_sim.learning.partition.partition import FixedPartition
from afl_sim.run.partition_table import show_partition
from afl_sim.run.validation import check_study
from afl_sim.scenario import DataSpec
from afl_sim.scenario.sections.clients import Clients
from afl_sim.streams import Streams

LABELS = np.arange(1000) % 10
CLIENTS = 20


def dealt(
    groups: list[dict[str, Any]], seed: int = 0, **data: Any
) -> tuple[FixedPartition, list[list[int]]]:
    """The partition, and the clients of each group."""
    clients = Clients.model_validate({"count": CLIENTS, "groups": groups})
    streams = Streams(seed)
    shares = group_shares(clients, streams)
    samples = Annotations(LABELS, 10)
    found = deal(DataSpec.model_validate(data), samples, CLIENTS, (), streams, shares).training
    assert isinstance(found, FixedPartition)
    return found, [share.clients.tolist() for share in shares]


def test_every_sample_has_one_owner() -> None:
    found, _ = dealt(
        [{"name": "a", "share": 0.3, "data": {"share": 0.7}}, {"name": "b", "share": 0.7}]
    )
    assert sorted(found.flat.tolist()) == list(range(1000))


def test_a_group_holds_its_share_of_the_samples() -> None:
    found, (few, many) = dealt(
        [{"name": "few", "share": 0.25, "data": {"share": 0.8}}, {"name": "many", "share": 0.75}]
    )
    assert found.sizes[few].tolist() == [160] * 5
    assert sorted(set(found.sizes[many].tolist())) == [13, 14]  # 200 samples for 15 clients


def test_groups_without_a_share_divide_the_rest_by_their_clients() -> None:
    found, groups = dealt(
        [
            {"name": "a", "share": 0.5, "data": {"share": 0.1}},
            {"name": "b", "share": 0.2},
            {"name": "c", "share": 0.3},
        ]
    )
    assert [int(found.sizes[each].sum()) for each in groups] == [100, 360, 540]


def test_each_group_is_dealt_out_in_its_own_way() -> None:
    one_class = {"kind": "classes", "per_client": 1}
    found, (sorted_, mixed) = dealt(
        [
            {"name": "sorted", "share": 0.5, "data": {"partition": one_class}},
            {"name": "mixed", "share": 0.5},
        ]
    )
    counts = found.label_counts(LABELS, 10)
    assert set((counts[sorted_] > 0).sum(axis=1)) == {1}
    assert (counts[mixed] > 0).sum(axis=1).min() > 5


def test_the_same_seed_deals_the_same_and_another_seed_does_not() -> None:
    groups = [{"name": "a", "share": 0.3, "data": {"share": 0.7}}, {"name": "b", "share": 0.7}]
    first, again, other = (dealt(groups, seed)[0].flat.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_groups_that_say_nothing_of_data_change_nothing() -> None:
    plain, shares = dealt([{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}])
    samples = Annotations(LABELS, 10)
    expected = deal(DataSpec(), samples, CLIENTS, (), Streams(0)).training
    assert shares == []
    assert isinstance(expected, FixedPartition)
    assert plain.flat.tolist() == expected.flat.tolist()


def test_a_group_with_too_few_samples_is_named() -> None:
    small = {"share": 0.001, "partition": {"kind": "iid", "min_samples": 5}}
    with pytest.raises(
        ScenarioError, match=r"clients\.groups\.0\.data\.partition\.min_samples: 10 "
    ):
        dealt([{"name": "a", "share": 0.5, "data": small}, {"name": "b", "share": 0.5}])


def test_a_drawn_group_without_clients_cannot_hold_samples() -> None:
    rare = {"name": "rare", "share": 0.0001, "exactly": False, "data": {"share": 0.5}}
    with pytest.raises(ScenarioError, match="no client was drawn into this group"):
        dealt([rare, {"name": "rest", "share": 0.9999, "exactly": False}])


def test_the_table_shows_each_way_of_dealing_to_groups(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shares.yaml"
    file.write_text(
        "data: {partition: {kind: iid, samples: 10}}\nmodel: logistic\n"
        "strategy: {kind: fedbuff, concurrency: 2, buffer_size: 1}\n"
        "stop: {updates: 1}\nclients:\n  count: 4\n  groups:\n"
        "    - {name: a, share: 0.5, data: {share: 0.5, partition: iid}}\n"
        "    - {name: b, share: 0.5, data: {partition: iid}}\n"
        "sweep: {clients.groups.a.data.share: [0.25, 0.75]}\n"
    )
    show_partition(check_study(file))
    shown = capsys.readouterr().out
    assert shown.count("4 clients") == 2
    assert "7500" in shown
    assert "22500" in shown


def test_impossible_data_of_a_group_is_found_in_whichever_case_has_it(tmp_path: Path) -> None:
    file = tmp_path / "shares.yaml"
    file.write_text(
        "data: {partition: iid}\nmodel: logistic\n"
        "strategy: {kind: fedbuff, concurrency: 2, buffer_size: 1}\n"
        "stop: {updates: 1}\nclients:\n  count: 4\n  groups:\n"
        "    - {name: a, share: 0.5, data: {share: 0.5}}\n    - {name: b, share: 0.5}\n"
        "sweep: {clients.groups.a.data.share: [0.5, 0.00001]}\n"
    )
    with pytest.raises(ScenarioError, match=r"data\.partition\.min_samples: 2 clients x 1"):
        check_study(file)
