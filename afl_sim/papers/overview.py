"""All targets, with their cost and their state."""

from __future__ import annotations

from collections.abc import Iterator

from afl_sim.execution.code_digest import code_digest
from afl_sim.papers.pages import verdict
from afl_sim.papers.reproducing import output_folder
from afl_sim.papers.results import read_results
from afl_sim.papers.target import SCALES, Scale, Target, find_target, target_names


def papers() -> Iterator[tuple[str, str]]:
    """Name and description of each target."""
    for name in target_names():
        target = find_target(name)
        yield name, f"{target.title}. {target.citation}"


def overview() -> Iterator[str]:
    """Each target with its cost and its state at both scales, a line each."""
    for name in target_names():
        target = find_target(name)
        yield f"{name}: {target.title}"
        for scale in SCALES:
            minutes = getattr(target.minutes, scale)
            yield f"  {scale:<5} {minutes:g} min on two cores; {'; '.join(_state(target, scale))}"


def _state(target: Target, scale: Scale) -> list[str]:
    states = []
    kept = read_results(target.results(scale))
    if kept is not None:
        states.append(f"published with the package {kept.made['date']}: {verdict(target, kept)}")
    here = read_results(output_folder(target.name) / scale / "results.json")
    if here is not None:
        code = "this" if here.made["code"] == code_digest() else "other"
        states.append(f"run here {here.made['date']} with {code} code: {verdict(target, here)}")
    return states or ["not run"]
