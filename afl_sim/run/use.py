"""The use of a finished run: its models at work, and the samples of its clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from afl_sim.errors import InputError, RunFolderError
from afl_sim.execution.numerics import deterministic
from afl_sim.learning.data.content import data_digest
from afl_sim.learning.data.datasets import (
    data_scaling,
    load_annotations,
    load_dataset,
    split_pool,
)
from afl_sim.learning.data.form import form_of
from afl_sim.learning.data.inputs import Scaling
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.models.global_draws import global_generators
from afl_sim.learning.models.precision import forward_arithmetic
from afl_sim.learning.partition import Dealt
from afl_sim.learning.training.evaluation import EVALUATION_BATCH
from afl_sim.portable.block import arithmetic_of
from afl_sim.recording import Run
from afl_sim.run.bits import effective_bits
from afl_sim.run.initial_model import new_model
from afl_sim.run.kinds import model_spec
from afl_sim.run.loading import load_scenario
from afl_sim.run.preparation import deal_out
from afl_sim.scenario import Scenario
from afl_sim.streams import Streams

_ADDED = ("pretrained", "trainable", "lora", "personal")
"""Keys of a model that the saved arrays already contain."""


def samples_of(
    run: Run, client: int, rows: npt.NDArray[np.int64], dealt: Dealt, *, testing: bool
) -> npt.NDArray[np.int64]:
    """See `afl_sim.Run.samples`.

    Args:
        run: the run.
        client: its index.
        rows, dealt: as `dealt_out` gives them.
        testing: whether the samples are those for tests.
    """
    _check_client(run, client)
    held = dealt.testing if testing else dealt.training
    if held is None:
        raise RunFolderError(
            f"{run.path}: clients keep no samples for tests; expected a run with data.client_test"
        )
    return rows[held.indices(client)]


def dealt_out(run: Run) -> tuple[npt.NDArray[np.int64], Dealt]:
    """The rows of the pool that a run's clients get, and how they are dealt out."""
    scenario = _scenario(run)
    streams = Streams(scenario.seed)
    whole = scenario.data.model_copy(update={"validation": 0.0})
    pool = load_annotations(whole, streams)
    rows, _ = split_pool(len(pool), scenario.data.validation, streams)
    return rows, deal_out(scenario, pool.of(rows), streams)


def predictions(
    run: Run, inputs: Any, *, at: int | None, client: int | None, raw: bool
) -> npt.NDArray[Any]:
    """See `afl_sim.Run.predict`."""
    arrays = run.model(at)
    scenario = _scenario(run)
    if client is not None:
        arrays = {**arrays, **run.personal(client)}
    streams, numerics = Streams(scenario.seed), scenario.numerics
    form = form_of(scenario.data)
    given = None
    if inputs is not None:
        given = _given(inputs, data_scaling(scenario.data), form)
    with (
        deterministic(),
        arithmetic_of(effective_bits(scenario).portable),
        global_generators(streams.integer("evaluation.dropout")),
        forward_arithmetic(numerics.precision, "cpu"),
        torch.no_grad(),
    ):
        model = _model(scenario, streams, arrays, run.path)
        if given is None:
            batches = load_dataset(scenario.data, streams).test_inputs.split(EVALUATION_BATCH)
        else:
            batches = given.split(EVALUATION_BATCH)
        found = [model(batch.clone()).float() for batch in batches]
    outputs = torch.cat(found) if found else torch.empty(0, form.outputs)
    return (outputs if raw else _decided(outputs, form)).numpy()


def _decided(outputs: Tensor, form: SampleForm) -> Tensor:
    """What outputs of a model mean for labels of this form."""
    if form.target == "several":
        return outputs > 0
    if form.target == "number":
        return outputs.squeeze(1) if outputs.shape[1] == 1 else outputs
    return outputs.argmax(-1)


def _given(inputs: Any, scaling: Scaling | None, form: SampleForm) -> Tensor:
    """A caller's inputs as the model takes them.

    Raises:
        InputError: they have another shape, or numbers that the files of the data cannot have.
    """
    tensor = inputs.detach().cpu() if isinstance(inputs, Tensor) else None
    if tensor is None:
        array = np.asarray(inputs)
        if array.dtype.kind not in "biuf":
            raise InputError(f"the inputs are {array.dtype}; expected numbers")
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    shape = form.input_shape
    if form.is_image and shape[0] == 1 and tensor.shape[1:] == shape[1:]:
        tensor = tensor.unsqueeze(1)
    if tuple(tensor.shape[1:]) != shape:
        raise InputError(
            f"the inputs have the shape {_shape(tensor.shape)}; expected {_shape(('N', *shape))}"
        )
    whole = not tensor.is_floating_point()
    if scaling is None:
        least, most = (int(tensor.min()), int(tensor.max())) if tensor.numel() else (0, 0)
        if not whole or least < 0 or most >= (form.vocabulary or most + 1):
            raise InputError(f"the inputs are no tokens from 0 to {(form.vocabulary or 0) - 1}")
        return tensor.long()
    if scaling.of_bytes and not whole:
        raise InputError(
            f"the inputs are {tensor.dtype}; expected whole numbers from 0 to 255, as the files of "
            "the images have them"
        )
    return scaling.of(tensor.float())


def _model(
    scenario: Scenario, streams: Streams, arrays: dict[str, npt.NDArray[Any]], folder: Path
) -> nn.Module:
    """The network with these arrays, ready to be evaluated.

    Raises:
        RunFolderError: the arrays are not those of the scenario's model.
    """
    block = scenario.model.model_dump(by_alias=True)
    standard = type(model_spec(block)).model_fields
    plain = {k: v for k, v in block.items() if k not in _ADDED or k not in standard}
    model = new_model(plain, scenario.data, streams)
    try:
        model.load_state_dict({name: torch.from_numpy(part) for name, part in arrays.items()})
    except RuntimeError as error:
        raise RunFolderError(
            f"{folder}: the saved model does not fit the scenario's, whose code may have changed: "
            f"{' '.join(str(error).split())}"
        ) from error
    return model.eval()


def _scenario(run: Run) -> Scenario:
    """A run's scenario.

    Raises:
        RunFolderError: its data has changed since the run.
    """
    scenario = load_scenario(run.path / "scenario.yaml")
    now = data_digest(scenario.data)
    then = run.manifest.get("data", now)
    if then != now:
        raise RunFolderError(
            f"{run.path} was made from other data ({then}): the content of data.dataset has "
            f"changed since ({now})"
        )
    return scenario


def _check_client(run: Run, client: int) -> None:
    count = int((run.scenario.get("clients") or {}).get("count") or 0)
    if not 0 <= client < count:
        raise RunFolderError(
            f"{run.path} has no client {client}; expected a number from 0 to {count - 1}"
        )


def _shape(sizes: Any) -> str:
    return f"({', '.join(map(str, sizes))})"
