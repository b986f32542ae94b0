"""Groups of clients that hold different shares of the samples, dealt out in different ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.learning.partition.partition import FixedPartition, cut
from afl_sim.scenario.apportioning import apportion
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.group_members import members
from afl_sim.scenario.sections.groups import GroupData
from afl_sim.scenario.sections.partitions import PartitionSpec
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
Deal = Callable[[PartitionSpec, Ints, int, np.random.Generator], FixedPartition]
"""Deals samples with these labels out to so many clients."""
PURPOSE = "partition.groups"


@dataclass(frozen=True)
class GroupShare:
    """What a group of clients holds.

    Attributes:
        index: the group's place in ``clients.groups``.
        clients: the clients in the group, int64, ascending.
        data: as the scenario says.
    """

    index: int
    clients: Ints
    data: GroupData


def group_shares(clients: Clients, streams: Streams) -> tuple[GroupShare, ...]:
    """What each group holds; empty if no group says anything about its data."""
    groups = clients.groups
    if all(group.data is None for group in groups):
        return ()
    found = members(groups, clients.count, streams)
    return tuple(
        GroupShare(index, np.flatnonzero(found == index), group.data or GroupData())
        for index, group in enumerate(groups)
    )


def deal_to_groups(
    groups: Sequence[GroupShare],
    default: PartitionSpec,
    labels: Ints,
    streams: Streams,
    deal: Deal,
) -> FixedPartition:
    """Draw each group's samples, and deal them out to its clients.

    Args:
        groups: who gets what.
        default: the partition of groups without one.
        labels: int64 (samples,): of the training set.
        streams: the scenario's seed (purpose "partition.groups").
        deal: deals a group's samples out.

    Raises:
        ScenarioError: a group has no clients.
    """
    for group in groups:
        if not len(group.clients):
            raise ScenarioError(
                f"clients.groups.{group.index}: no client was drawn into this group, so that "
                "nobody can hold its samples; expected exactly: true, or a larger share"
            )
    order = streams.generator(PURPOSE).permutation(len(labels))
    ends = np.cumsum(apportion(np.array(list(proportions(groups))), len(labels)))
    held: dict[int, Ints] = {}
    for group, begin, end in zip(groups, [0, *ends[:-1]], ends, strict=True):
        mine = np.sort(order[begin:end])
        draws = streams.generator(PURPOSE, group.index, 1)
        spec = group.data.partition or default
        dealt = deal(spec, labels[mine], len(group.clients), draws)
        for place, client in enumerate(group.clients.tolist()):
            held[client] = mine[dealt.indices(place)]
    parts = [held[client] for client in sorted(held)]
    return cut(np.concatenate(parts), np.array([len(part) for part in parts], dtype=np.int64))


def proportions(groups: Sequence[GroupShare]) -> Iterator[float]:
    """The share of the samples that each group holds; what is left goes by numbers of clients."""
    left = 1 - math.fsum(group.data.share or 0.0 for group in groups)
    others = sum(len(group.clients) for group in groups if group.data.share is None)
    for group in groups:
        share = group.data.share
        yield left * len(group.clients) / others if share is None else share
