"""What a run that trains leaves behind: its models, and their digests."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from afl_sim.execution.numerics import model_digest, personal_digest
from afl_sim.recording import RunFolder
from afl_sim.run.finished import Trained
from afl_sim.run.preparation import Kept, Prepared
from afl_sim.run.recorder import Recorder


def write_models(trained: Trained, prepared: Prepared, recorder: Recorder) -> None:
    """Write the last global model, and what clients keep.

    Raises:
        AflSimError: a file could not be written.
    """
    folder = recorder.folder
    folder.write_model(prepared.arrays(trained.vector))
    folder.keep_models_of({row.version for row in recorder.metrics.rows})
    if prepared.kept is not None and trained.kept is not None:
        _write_personal(prepared.kept, trained.kept, folder)


def digests_of(trained: Trained) -> dict[str, str]:
    """The digests of the models, as a run's summary has them."""
    found = {"model_digest": model_digest(trained.vector)}
    if trained.kept is not None:
        found["personal_digest"] = personal_digest(trained.kept)
    return found


def _write_personal(kept: Kept, of_clients: Mapping[int, Tensor], folder: RunFolder) -> None:
    assert kept.initial is not None
    clients = sorted(of_clients)
    rows = torch.stack([kept.initial, *(of_clients[client] for client in clients)])
    parts = rows.split(kept.layout.sizes, dim=1)
    folder.write_personal(
        clients,
        {
            name: part.reshape(len(rows), *shape).numpy()
            for name, shape, part in zip(kept.layout.names, kept.layout.shapes, parts, strict=True)
        },
    )
