"""The one list of oracles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from afl_sim.errors import InputError
from afl_sim.theory import (
    asynchronous,
    contacts,
    energy,
    jackson,
    queues,
    rounds,
    staleness,
    throughput,
)
from afl_sim.theory.oracle import Oracle

GROUPS = (staleness, asynchronous, throughput, rounds, queues, jackson, energy, contacts)


@cache
def oracles() -> tuple[Oracle, ...]:
    """Every oracle, in the order in which it is printed."""
    return tuple(oracle for group in GROUPS for oracle in group.oracles())


def chosen(names: Sequence[str]) -> tuple[Oracle, ...]:
    """The oracles with these names, or whose names begin with them; all without names.

    Raises:
        InputError: there is none of some name.
    """
    from afl_sim.scenario.wording import hint

    found = oracles()
    for name in names:
        if not any(_matches(oracle.name, name) for oracle in found):
            groups = sorted({oracle.name.split(".")[0] for oracle in found})
            known = [*groups, *(oracle.name for oracle in found)]
            raise InputError(
                f"there is no oracle {name!r}; expected one of {', '.join(groups)}, or a longer "
                f"name{hint(name, known)}"
            )
    return tuple(
        oracle for oracle in found if not names or any(_matches(oracle.name, n) for n in names)
    )


def _matches(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(wanted + ".")
