"""Which client holds which samples: the training set is dealt out to clients.

`deal` does it as a scenario's ``data`` section says, and gives a `Dealt`: the `Partition` to train
on, and the one that clients keep for tests. Other packages import from here only.
"""

from afl_sim.learning.partition.by_group import GroupShare, group_shares
from afl_sim.learning.partition.client_split import Dealt, deal
from afl_sim.learning.partition.making import make_partition
from afl_sim.learning.partition.partition import FixedPartition, Partition

__all__ = [
    "Dealt",
    "FixedPartition",
    "GroupShare",
    "Partition",
    "deal",
    "group_shares",
    "make_partition",
]
