"""A model of one's own: what is refused before a run, and what a run makes of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import own_models
import pytest
import torch
from places import SMALLEST
from safetensors.torch import load_file
from small_training import CLASSES, data, trainer
from torch import nn
from torch.nn.utils import parametrizations

from afl_sim import simulate
from afl_sim.errors import ScenarioError
from afl_sim.execution.numerics import model_digest
from afl_sim.learning.data.batch_sizes import batch_sizes
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.models.state_dict import StateDict
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.run.api import load_scenario
from afl_sim.run.preparation import prepare
from afl_sim.run.validation import check_study


def model(name: str) -> str:
    return f"model={{kind: 'own_models:{name}'}}"


LATE = "expected a registered buffer, or a model that keeps nothing"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Recurrent", f"in evaluation mode .* 'h' of the model (Recurrent) has changed; {LATE}"),
        ("nested", "in evaluation mode .* 'h' of layer 0 (Recurrent) has changed"),
        ("Anneals", "'steps' of the model (Anneals) has changed"),
        ("FitsToTheFirstImages", "'mean' of the model (FitsToTheFirstImages) has changed"),
        ("TestsWithWhatTrainingSaw", "in evaluation mode .* 'mean' of the model"),
        ("DrawsByItself", "'draws' of the model (DrawsByItself) has changed"),
        ("DrawsByNumpy", "it draws from NumPy's or Python's global generator; expected PyTorch's"),
        ("DrawsByPython", "it draws from NumPy's or Python's global generator"),
        ("Global", "something outside its modules is kept"),
        ("TupleInTraining", "it returns a tuple for 10 inputs in training mode; expected a tensor"),
        ("Expanded", "buffer 'scale' is an expanded view, .* expected .clone()"),
        ("MakesALayer", "parameter 'late.weight' is made or replaced when the model is used"),
        ("MakesABuffer", "buffer 'seen' is made or gets another shape when the model is used"),
        ("Detached", "a training step on 10 inputs fails: RuntimeError: element 0 of tensors"),
        ("always_the_same", "returns 'out.weight' of the model that it has made before"),
        ("never_the_same", "makes another 'drawn' when it is called again with the same seed"),
        ("complex_parameter", "parameter 'scale' is torch.complex64; expected float32"),
        ("whole_parameter", "parameter 'scale' is torch.int64; expected float32"),
        ("half_parameter", "parameter 'scale' is torch.float16; expected float32"),
        ("sparse_parameter", "parameter 'scale' is sparse_coo; expected a dense tensor"),
        ("sparse_buffer", "buffer 'scale' is sparse_coo; expected a dense tensor"),
        ("not_finite", "parameter 'scale' holds a number that is not finite at the start"),
        ("without_values", "parameter '1.weight' is on the device meta, without values"),
        ("lazy_buffer", "buffer '1.running_mean' has no shape before the model is first used"),
        ("overlapping", "parameter 'out.weight' shares memory with 'part', so that"),
        ("buffer_on_a_parameter", "buffer 'copy' shares memory with 'out.weight', so that"),
        ("Complex", "'phase' is torch.complex128, which model.safetensors cannot hold"),
    ],
)
def test_a_model_that_cannot_be_trained_as_it_is_meant_is_refused(name: str, message: str) -> None:
    pattern = message.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ScenarioError, match=f"^model: .*{pattern}") as caught:
        prepare(load_scenario(SMALLEST, [model(name)]), timing_only=True)
    assert "\n" not in str(caught.value)


KINDS = ["weight_norm", "spectral_norm", "old_weight_norm", "old_spectral_norm", "complex_buffer"]


@pytest.mark.parametrize(
    "name", ["Plain", "Counts", "Taps", "InPlace", "Odd", "Sparse", "side_by_side", *KINDS]
)
def test_a_model_that_keeps_nothing_that_counts_is_taken(name: str) -> None:
    raw = ["data.normalize=raw"]
    prepared = prepare(load_scenario(SMALLEST, [model(name), *raw]), timing_only=True)
    assert prepared.layout.num_parameters > 0


def partition(*sizes: int) -> str:
    return f"data.partition={{kind: sizes, sizes: {[*sizes]}}}"


def fails(images: int, who: str) -> str:
    return rf"fails in training mode on inputs of \({images}, 1, 28, 28\), as of client {who}"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("NormalisesBatches", [partition(*[33] * 10)], fails(1, "0, who holds 33 samples")),
        ("NormalisesBatches", [partition(*[40] * 9, 1)], fails(1, "9, who holds 1 samples")),
        ("NormalisesBatches", ["training.batch_size=1"], fails(1, "0, who holds 100 samples")),
        ("NormalisesBatches", [partition(*[33] * 10), "training.drop_last=true"], None),
        ("NormalisesBatches", [partition(*[34] * 10)], None),
        ("NormalisesBatches", ["evaluation.samples=1001"], None),
        ("Pairs", [partition(*[64] * 9, 37)], fails(5, "9, who holds 37 samples")),
        ("Pairs", ["training.batch_size=full", partition(*[64] * 9, 37)], fails(37, "9")),
        (
            "NormalisesChannels",
            ["evaluation.samples=1001"],
            r"fails on inputs of \(1, 1, 28, 28\), as the last batch of an evaluation is: ValueE",
        ),
        ("NormalisesChannels", [], None),
    ],
)
def test_a_model_is_tried_with_the_batches_that_a_run_makes(
    name: str, settings: list[str], message: str | None
) -> None:
    scenario = load_scenario(SMALLEST, [model(name), "training.batch_size=32", *settings])
    if message is None:
        prepare(scenario, timing_only=True)
        return
    with pytest.raises(ScenarioError, match=message):
        prepare(scenario, timing_only=True)


@pytest.mark.parametrize(
    ("batch", "drop_last", "expected"),
    [
        (32, False, {1: (1, 33), 5: (3, 5), 32: (0, 64)}),
        (32, True, {5: (3, 5), 32: (0, 64)}),
        (None, False, {5: (3, 5), 33: (1, 33), 64: (0, 64)}),
        (100, False, {5: (3, 5), 33: (1, 33), 64: (0, 64)}),
    ],
)
def test_the_sizes_of_batches_are_those_that_clients_have(
    batch: int | None, drop_last: bool, expected: dict[int, tuple[int, int]]
) -> None:
    assert batch_sizes(np.array([64, 33, 0, 5, 33]), batch, drop_last) == expected


def test_the_batches_of_any_number_of_equal_clients_are_those_of_the_first() -> None:
    held = np.broadcast_to(np.int64(33), 10**15)  # an array of them would not fit anywhere
    assert batch_sizes(held, 32, False) == {1: (0, 33), 32: (0, 33)}


def test_clients_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afl_sim.learning.data.batch_sizes._BLOCK", 2)
    held = np.array([0, 5, 5, 0, 64, 33, 33, 5])
    assert batch_sizes(held, 32, False) == {1: (5, 33), 5: (1, 5), 32: (4, 64)}
    assert batch_sizes(held[:1], 32, False) == {}


PLAIN_SGD = "training.optimizer={kind: SGD, lr: 0.1}"


@pytest.mark.parametrize(
    ("setting", "blamed"),
    [
        ("training.optimizer=Adam", "training.optimizer Adam cannot"),
        ("training.optimizer={kind: SGD, lr: 0.1, weight_decay: 0.1}", "optimizer SGD cannot"),
        ("training.proximal=0.1", "or a proximal term cannot"),
        ("training.gradient_noise=0.1", "or training.gradient_noise cannot"),
        ("strategy={kind: scaffold, clients_per_round: 5}", "or the strategy's correction cannot"),
        ("strategy=asyncsgd", "a strategy of gradients cannot"),
        ("training.clip_norm=1.0", None),
        ("training.optimizer={kind: SGD, lr: 0.1, momentum: 0.9}", None),
        ("evaluation.squared_gradient_norm=true", None),
    ],
)
def test_sparse_gradients_are_refused_where_something_cannot_take_them(
    setting: str, blamed: str | None
) -> None:
    settings = [model("Sparse"), "data.normalize=raw", PLAIN_SGD, setting]
    scenario = load_scenario(SMALLEST, settings)
    if blamed is None:
        prepare(scenario, timing_only=True)
        return
    with pytest.raises(ScenarioError, match=r"'values.weight' has sparse gradients, which .*") as e:
        prepare(scenario, timing_only=True)
    assert blamed in str(e.value)
    assert str(e.value).endswith("; expected sparse=False in its layer")


def test_a_refusal_names_the_line_of_the_model(tmp_path: Path) -> None:
    text = SMALLEST.read_text().replace("model: logistic", "model: {kind: 'own_models:Recurrent'}")
    (tmp_path / "own.yaml").write_text(text)
    line = 1 + text.splitlines().index("model: {kind: 'own_models:Recurrent'}")
    with pytest.raises(ScenarioError, match=rf"own\.yaml:{line}: model: in evaluation mode"):
        check_study(tmp_path / "own.yaml")


def test_a_model_that_writes_on_its_images_is_evaluated_on_them_as_they_are() -> None:
    settings = ["evaluation.every_versions=2", "stop.updates=30"]
    kinds = [f"model={{kind: 'own_models:InPlace', written: {w}}}" for w in ("true", "false")]
    written, not_written = (simulate(load_scenario(SMALLEST, [k, *settings])) for k in kinds)
    columns = ["accuracy", "loss"]
    assert written.metrics[columns].equals(not_written.metrics[columns])
    assert written.summary["model_digest"] == not_written.summary["model_digest"]


def test_layers_of_pytorch_that_write_on_images_are_seen_too() -> None:
    images, labels = data()
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4, CLASSES))
    local = trainer(model, (images, labels))
    before = images.clone()
    Evaluator(local, images, labels, CLASSES, "cross_entropy").evaluate(local.initial)
    assert torch.equal(images, before)
    assert bool((before < 0).any())


def test_what_a_run_saves_loads_strictly_and_is_what_travelled() -> None:
    run = simulate(load_scenario(SMALLEST, [model("Odd"), "stop.updates=10"]))
    state = load_file(run.path / "model.safetensors")
    fresh = own_models.Odd()
    fresh.load_state_dict(state)  # strictly
    layout = ParameterVector(fresh)
    assert model_digest(layout.read(fresh)) == run.summary["model_digest"]
    assert list(run.model())[: len(layout.names)] == list(layout.names)
    assert torch.equal(state["again.weight"], state["tied.weight"])
    assert (int(state["seen"]), state["mask"].dtype) == (0, torch.bool)
    downloads = run.events[run.events.kind == "downloaded"]
    assert set(downloads.bytes) == {4 * layout.size}
    floating = [t for t in fresh.state_dict(keep_vars=True).values() if t.is_floating_point()]
    assert layout.size == sum(t.numel() for t in {id(t): t for t in floating}.values())


def test_parametrised_weights_and_extra_state_load_strictly() -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> torch.Tensor:
            return torch.tensor([3])

        def set_extra_state(self, state: torch.Tensor) -> None:
            self.extra = int(state)

    def build() -> nn.Module:
        linear = parametrizations.weight_norm(nn.Linear(4, 4))
        return nn.Sequential(parametrizations.spectral_norm(linear), Extra(4, CLASSES))

    made = build()
    layout = ParameterVector(made)
    vector = torch.arange(layout.size, dtype=torch.float32)
    saved = StateDict(made, layout).of(vector)
    fresh = build()
    fresh.load_state_dict(saved)
    assert torch.equal(layout.read(fresh), vector)
    assert fresh[1].extra == 3  # type: ignore[index]
