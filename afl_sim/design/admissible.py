"""Which finalists keep the limits that only training tells."""

from __future__ import annotations

from afl_sim.design.objective import broken_by_training
from afl_sim.design.screening import Entry
from afl_sim.design.search import Search
from afl_sim.scenario.sections.design import Limit


def admissible(found: Search) -> list[Entry]:
    """The finalists that keep the limits that only training tells, the best first.

    Raises:
        ScenarioError: there is none; the line states which limit binds.
    """
    halving, design = found.halving, found.problem.design
    assert halving is not None
    broken: dict[Limit, list[tuple[float, str]]] = {}
    kept = []
    for entry in found.finalists:
        wrong: dict[str, Limit] = {}
        for index in range(found.seeds):
            summary = halving.run_of(entry, index).summary
            for limit, value in broken_by_training(design, summary):
                wrong[str(limit)] = limit
                broken.setdefault(limit, []).append((value, entry.title))
        if wrong:
            entry.why = f"does not keep {', '.join(sorted(wrong))} with every seed"
        else:
            kept.append(entry)
    if not kept:
        limit, values = max(broken.items(), key=lambda each: len({t for _, t in each[1]}))
        nearest = min(values) if limit.sign == "<=" else max(values)
        compared = len(found.finalists)
        who = (
            f"none of the {compared} candidates that were compared"
            if compared > 1
            else "no candidate"
        )
        found.problem.refuse(
            "constraints",
            f"{who} keeps {limit} with every seed; the nearest that broke it is "
            f"{nearest[0]:.4g} ({nearest[1]})",
        )
    return kept
