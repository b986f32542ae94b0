"""The samples that each client trains on, and those that it keeps for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition.by_group import GroupShare
from afl_sim.learning.partition.by_speed import correlated
from afl_sim.learning.partition.making import make_partition
from afl_sim.learning.partition.partition import FixedPartition, Partition, cut
from afl_sim.scenario.sections.data import SHARED_SAMPLES, DataSpec
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
PURPOSE = "client_test"


@dataclass(frozen=True)
class Dealt:
    """A training set that is dealt out to clients.

    Attributes:
        training: the samples that each client trains on.
        testing: the samples that each client keeps for tests; None if clients keep none.
    """

    training: Partition
    testing: Partition | None = None

    def held(self, client: int) -> Ints:
        """The indices of all samples of a client: those to train on, then those for tests."""
        training = self.training.indices(client)
        if self.testing is None:
            return training
        return np.concatenate([training, self.testing.indices(client)])


def deal(
    spec: DataSpec,
    samples: Annotations,
    clients: int,
    seconds: Sequence[float],
    streams: Streams,
    groups: Sequence[GroupShare] = (),
    measured: Ints | None = None,
) -> Dealt:
    """Deal the training set out to clients. Each of them may keep some samples for tests.

    Args:
        spec, samples, clients, streams, groups, measured: as for `make_partition`.
        seconds: each client's persistent time per sample, step or task. It is used only if the
            data is correlated with speed, and may be empty otherwise.

    Raises:
        ScenarioError: the scenario asks for something impossible; one line for each reason.
    """
    partition = make_partition(spec, samples, clients, streams, groups, measured)
    dealt = Dealt(partition)
    if spec.client_test:
        if not isinstance(partition, FixedPartition):
            raise ScenarioError(f"data.client_test: {SHARED_SAMPLES}")
        dealt = Dealt(*split(partition, spec.client_test, streams))
    if spec.speed_correlation is None:
        return dealt
    handed = correlated(
        partition, samples.labels, samples.classes, seconds, spec.speed_correlation, streams
    )
    return Dealt(
        replace(handed, parts=dealt.training),
        None if dealt.testing is None else replace(handed, parts=dealt.testing),
    )


def kept_of(samples: int, share: float) -> int:
    """The number of a client's samples that are for tests: the share, rounded up.

    So it trains on ``floor((1 - share) * samples)``, as in papers that use ``int(0.9 * n)``.
    The share is the decimal number as it is written: 0.1 of 70 samples is 7, although ``0.1 * 70``
    in floating point is a little more.
    """
    exact = Fraction(str(share)) * samples
    return -(-exact.numerator // exact.denominator)


def split(
    partition: FixedPartition, share: float, streams: Streams
) -> tuple[FixedPartition, FixedPartition]:
    """Split every client's samples into those to train on and those to test on.

    They are drawn at random (purpose "client_test"). A larger share keeps all samples that a
    smaller one keeps. Both parts keep the order of the client's samples.

    Raises:
        ScenarioError: a client would have nothing to train on.
    """
    sizes = partition.sizes
    distinct, which = np.unique(sizes, return_inverse=True)
    counts = np.array([kept_of(int(size), share) for size in distinct], dtype=np.int64)[which]
    if np.any(counts >= sizes):
        client = int(np.argmax(counts >= sizes))
        smaller = "a smaller share" if np.all(sizes > 1) else "0"  # one sample cannot be shared
        raise ScenarioError(
            f"data.client_test: a share of {share}, rounded up, leaves client {client} none of its "
            f"{sizes[client]} samples to train on; expected {smaller}, or a larger "
            "data.partition.min_samples"
        )
    owner = np.repeat(np.arange(partition.clients), sizes)
    draws = streams.generator(PURPOSE).random(len(owner))
    order = np.lexsort((draws, owner))
    rank = np.empty(len(owner), dtype=np.int64)
    rank[order] = np.arange(len(owner)) - partition.offsets[owner]
    test = rank < counts[owner]
    return cut(partition.flat[~test], sizes - counts), cut(partition.flat[test], counts)
