"""Who belongs to which group of clients, and what is wrong with the sizes of groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.apportioning import apportion
from afl_sim.scenario.sections.groups import ClientGroup
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.sections.partitions import PartitionSpec
from afl_sim.streams import Streams

Members = npt.NDArray[np.uint8]
"""The index of each client's group, shape (clients,)."""

PURPOSE = "clients.groups"
_ROUNDED = 1e-3  # shares such as 1/3 are written with few digits


def size_problems(groups: Sequence[ClientGroup], count: int | None) -> Iterator[Problem]:
    """What is wrong with the sizes of groups, as (key path inside ``groups``, message).

    Args:
        groups: as the file says.
        count: number of clients, where it is known.
    """
    names = [group.name for group in groups]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (str(index), "name"), f"{name!r} names another group; expected different names"
            return
    counts = [group.count for group in groups if group.count is not None]
    if counts and len(counts) < len(groups):
        yield (), "some groups give count and some share; expected the same key in all of them"
    elif counts and count is not None and sum(counts) != count:
        yield (
            (),
            f"the counts of the groups add up to {sum(counts)}, but clients.count is {count}; "
            "expected the same number",
        )
    elif not counts:
        total = math.fsum(group.share or 0.0 for group in groups)
        if abs(total - 1) > _ROUNDED * len(groups):
            yield (), f"the shares of the groups add up to {total:.6g}; expected 1"
        elif count is not None:
            for index, size in enumerate(sizes(groups, count)):
                if size == 0:
                    yield (
                        (str(index), "share"),
                        f"a share of {groups[index].share:g} of {count} clients is none of them; "
                        "expected a larger share, or more clients",
                    )


def sizes(groups: Sequence[ClientGroup], count: int) -> list[int | None]:
    """The number of clients in each group; None where it is drawn."""
    if groups[0].count is not None:
        return [group.count for group in groups]
    exact = [float(group.share or 0.0) if group.exactly else 0.0 for group in groups]
    drawn = math.fsum(group.share or 0.0 for group in groups if not group.exactly)
    whole = apportion(np.array([*exact, drawn]), count)
    return [int(n) if group.exactly else None for n, group in zip(whole, groups, strict=False)]


def members(groups: Sequence[ClientGroup], count: int, streams: Streams) -> Members:
    """The index of each client's group, uint8 (count,).

    Exact groups take the first clients of a random order. Each of the others is drawn into one of
    the remaining groups, in proportion to their shares.

    Args:
        groups: at least one, of valid sizes.
        count: number of clients.
        streams: the run's; the draws are of ``"clients.groups"``.
    """
    found = np.empty(count, dtype=np.uint8)
    order = streams.generator(PURPOSE).permutation(count)
    begin = 0
    for index, size in enumerate(sizes(groups, count)):
        if size is not None:
            found[order[begin : begin + size]] = index
            begin += size
    rest = order[begin:]
    if len(rest):
        drawn = [index for index, group in enumerate(groups) if not group.exactly]
        ends = np.cumsum([groups[index].share or 0.0 for index in drawn])
        uniform = streams.uniforms(PURPOSE, rest) * ends[-1]
        place = np.minimum(np.searchsorted(ends, uniform, "right"), len(drawn) - 1)
        found[rest] = np.array(drawn, dtype=np.uint8)[place]
    found.flags.writeable = False
    return found


def data_problems(groups: Sequence[ClientGroup], default: PartitionSpec) -> Iterator[Problem]:
    """What is wrong with the data of groups, as (key path inside ``groups``, message).

    Args:
        groups: as the file says.
        default: the partition of groups without one.
    """
    if all(group.data is None for group in groups):
        return
    shares = [group.data.share for group in groups if group.data and group.data.share is not None]
    total = math.fsum(shares)
    if len(shares) == len(groups) and abs(total - 1) > _ROUNDED * len(groups):
        yield (), f"the groups' shares of the data add up to {total:.6g}; expected 1"
    elif len(shares) < len(groups) and total >= 1:
        yield (
            (),
            f"the groups' shares of the data add up to {total:.6g}, so that nothing is left for "
            "the groups without a share; expected less than 1",
        )
    for index, group in enumerate(groups):
        own = None if group.data is None else group.data.partition
        kind = own or default
        if kind.kind in ("natural", "shared") or getattr(kind, "replacement", False):
            what = kind.kind if kind.kind in ("natural", "shared") else "replacement: true"
            path = () if own is None else (str(index), "data", "partition")
            yield (
                path,
                f"{what} does not divide the samples, so that no group can have a part of them "
                "for itself; expected iid, dirichlet, shards, classes, quantity or sizes without "
                "replacement",
            )
            return
