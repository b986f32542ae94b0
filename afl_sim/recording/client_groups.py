"""Which client of a run belongs to which group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from afl_sim.scenario.sections.group_members import members
from afl_sim.scenario.sections.groups import ClientGroup
from afl_sim.streams import Streams

if TYPE_CHECKING:
    import pandas as pd


def client_groups(scenario: Mapping[str, Any]) -> pd.Series:
    """The name of each client's group, as a category in the scenario's order; empty without groups.

    Args:
        scenario: a resolved scenario, as plain dicts and lists.
    """
    import pandas as pd

    clients = scenario.get("clients") or {}
    written = clients.get("groups") or []
    groups = [
        ClientGroup.model_construct(
            **{key: block.get(key) for key in ("name", "share", "count")},
            exactly=block.get("exactly", True),
        )
        for block in written
    ]
    names = [group.name for group in groups]
    codes: Any = members(groups, clients["count"], Streams(scenario["seed"])) if groups else []
    return pd.Series(
        pd.Categorical.from_codes(codes, categories=names),
        index=pd.RangeIndex(len(codes), name="client"),
        name="group",
    )
