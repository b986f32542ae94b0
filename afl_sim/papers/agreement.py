"""Whether the runs of a reproduction have the digests of those that are kept with the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.papers.results import Results, read_results
from afl_sim.papers.target import Target
from afl_sim.recording.digests import Digests, verdict


def agreement(target: Target, results: Results) -> str | None:
    """One line: the runs here against those that are kept at this scale; None if none is kept.

    Raises:
        InputError: the kept results are damaged.
    """
    kept = read_results(target.results(results.scale))
    if kept is None:
        return None
    here, there = dict(_runs(results)), dict(_runs(kept))
    pairs = {label: (here[label], there[label]) for label in here if label in there}
    return verdict(pairs) if pairs else None


def arithmetic(results: Results) -> str:
    """The arithmetic of all runs that were trained, in words; empty if none was."""
    bits = [digests.bits for _, digests in _runs(results) if digests.model is not None]
    if not bits:
        return ""
    native = bits.count("native")
    if native in (0, len(bits)):
        return f"Arithmetic: {bits[0]}."
    return f"Arithmetic: native in {native:,} of {len(bits):,} runs, portable in the others."


def _runs(results: Results) -> Iterator[tuple[str, Digests]]:
    for study, ran in results.studies.items():
        for run in ran["runs"]:
            digests = _digests(run)
            if digests is not None:
                yield f"{study}/{run['label']}", digests


def _digests(run: Mapping[str, Any]) -> Digests | None:
    """Those of a kept run; results that do not say are of native runs."""
    if not run.get("schedule_digest"):
        return None
    return Digests(run["schedule_digest"], run.get("model_digest"), run.get("bits") or "native")
