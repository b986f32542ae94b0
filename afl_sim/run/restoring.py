"""The checkpoint that a run goes on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from afl_sim.errors import RunFolderError
from afl_sim.global_model.snapshot import Snapshot
from afl_sim.recording import latest_checkpoint, load_checkpoint
from afl_sim.recording.documents import Facts, check_document
from afl_sim.recording.metrics import Evaluation
from afl_sim.user_code import reason


def read_snapshot(
    folder: Path, size: int, notice: Callable[[str], None] | None
) -> tuple[dict[str, Any], Snapshot] | None:
    """The latest checkpoint that is whole.

    Args:
        folder: the run's checkpoints.
        size: of the scenario's model, P + B.
        notice: told in one line if the very latest is damaged.

    Returns:
        Its facts and what the learning side goes on from; None where there is none.

    Raises:
        RunFolderError: it is whole, but not such a run's.
    """
    latest, found = latest_checkpoint(folder), load_checkpoint(folder)
    used = None if found is None else found[0].get("version")
    if latest != used and notice is not None:
        on = "the run begins anew" if used is None else f"the run goes on from version {used}"
        notice(f"{folder / str(latest)} is damaged; {on}")
    if found is None:
        return None
    facts, tensors = found
    place = folder / str(used)
    check_document(Facts, facts, place)
    try:
        for row in facts["metrics"]:
            Evaluation(*row)
        snapshot = Snapshot.unpack(facts, tensors)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RunFolderError(f"{place} is damaged: {reason(error)}") from error
    if snapshot.vector.shape != (size,):
        raise RunFolderError(f"{place} is damaged: it holds another model than the scenario's")
    return facts, snapshot
