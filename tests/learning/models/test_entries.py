"""The tensors of built-in models are known without PyTorch, exactly as PyTorch makes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS, count_parameters
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.models.personal import personal_parts
from afl_sim.learning.models.spec import ModelSpec, StandardSpec

IMAGES = (SampleForm((1, 28, 28), 10), SampleForm((3, 33, 40), 7))
VECTORS = (*IMAGES, SampleForm((13,), 3, "number"))
TOKENS = (SampleForm((9,), 7, "tokens", 11), SampleForm((6,), 3, "class", 5))

CASES: dict[str, tuple[tuple[SampleForm, ...], list[dict[str, Any]]]] = {
    "logistic": (VECTORS, [{}]),
    "linear": (VECTORS, [{}]),
    "mlp": (
        VECTORS,
        [
            {},
            {"hidden": []},
            {"hidden": [3, 4, 5], "dropout": 0.5},
            {"weights": "xavier"},
            {"weights": "truncated"},
        ],
    ),
    "lenet": (IMAGES, [{}]),
    "cnn": (
        IMAGES,
        [
            {},
            {"channels": [2, 3], "hidden": 4, "padding": 0, "dropout": 0.1},
            {"padding": 1, "convolutions": "xavier"},
            {"weights": "truncated"},
        ],
    ),
    "vgg9": (
        (IMAGES[1],),
        [{}, {"channels": [2, 3, 4, 5], "hidden": [6], "dropout": 0.3}, {"hidden": []}],
    ),
    "resnet": (
        IMAGES,
        [{}, {"depth": 14, "width": 4, "groups": 2}, {"norm": "batch", "depth": 8, "width": 3}],
    ),
    "lstm": (
        TOKENS,
        [
            {},
            {"embedding": 3, "layers": 1, "hidden": 4, "projection": 2, "readout": "mean"},
            {"layers": 3, "hidden": 5, "dropout": 0.2},
        ],
    ),
    "transformer": (
        TOKENS,
        [
            {},
            {"layers": 3, "heads": 2, "width": 6, "feed_forward": 5, "dropout": 0.1},
            {"readout": "last"},
        ],
    ),
}
EACH = [
    (kind, settings, form)
    for kind, (forms, every) in CASES.items()
    for settings in every
    for form in forms
]
BATCH_NORM = ("resnet", {"norm": "batch", "depth": 8}, IMAGES[0])
PATTERNS = [
    ("mlp", {}, VECTORS[0], ["1.*"]),
    ("resnet", {}, IMAGES[0], ["head.*", "stage3.*.norm1.weight"]),
    (*BATCH_NORM, ["head.*"]),
    (*BATCH_NORM, ["stage1.*"]),
    (*BATCH_NORM, ["head.bias", "norm.running_mean", "norm.num_batches_tracked"]),
    ("transformer", {}, TOKENS[0], ["*.attention.*"]),
]


def spec_of(kind: str, **settings: Any) -> ModelSpec:
    return MODELS[kind].model_validate({"kind": kind, **settings})


def vector_of(spec: ModelSpec, form: SampleForm) -> ParameterVector:
    model = spec.build(form)
    spec.begin(model)
    return ParameterVector(model)


def test_the_cases_have_every_model_and_every_option() -> None:
    assert set(CASES) == set(MODELS) - {"torchvision"}
    for kind, (_, every) in CASES.items():
        options = set(MODELS[kind].model_fields) - set(StandardSpec.model_fields)
        assert options == {name for settings in every for name in settings}, kind


@pytest.mark.parametrize(("kind", "settings", "form"), EACH)
def test_names_and_shapes_are_those_of_the_network(
    kind: str, settings: dict[str, Any], form: SampleForm
) -> None:
    spec = spec_of(kind, **settings)
    entries, theirs = spec.entries(form), vector_of(spec, form)
    assert entries is not None
    ours = entries.layout(None)
    assert ours.names == theirs.names
    assert ours.shapes == tuple(map(tuple, theirs.shapes))
    assert (ours.trained, ours.num_parameters, ours.size) == (
        theirs.trained,
        theirs.num_parameters,
        theirs.size,
    )
    assert count_parameters(spec, form) == theirs.num_parameters
    assert all(type(size) is int for size in ours.sizes)


@pytest.mark.parametrize(("kind", "settings", "form", "patterns"), PATTERNS)
def test_patterns_of_names_choose_the_same_tensors(
    kind: str, settings: dict[str, Any], form: SampleForm, patterns: list[str]
) -> None:
    spec = spec_of(kind, trainable=patterns, **settings)
    entries, theirs = spec.entries(form), vector_of(spec, form)
    assert entries is not None
    ours = entries.layout(patterns)
    assert (ours.names, ours.trained) == (theirs.names, theirs.trained)
    assert ours.size == theirs.size
    whole, model = spec_of(kind, **settings), spec_of(kind, **settings).build(form)
    entries = whole.entries(form)
    assert entries is not None
    kept = [pattern for pattern in patterns if "tracked" not in pattern]
    parts = [
        personal_parts(None, entries.layout(None), kept),
        personal_parts(model, ParameterVector(model), kept),
    ]
    names = [(each.shared.names, each.personal.names) for each in parts if each is not None]
    assert names[0] == names[1]
    assert names[0][1]


def errors(spec: ModelSpec, form: SampleForm, patterns: list[str]) -> list[str]:
    """What is said with the network and without it."""
    entries = spec.entries(form)
    assert entries is not None
    found = []
    for make in (lambda: vector_of(spec, form), lambda: entries.layout(patterns)):
        with pytest.raises(ScenarioError) as caught:
            make()
        found.append(str(caught.value))
    return found


@pytest.mark.parametrize("patterns", [["hed.*"], ["norm.running_mean"]])
def test_a_pattern_that_fits_nothing_has_the_same_error(patterns: list[str]) -> None:
    kind, settings, form = BATCH_NORM
    theirs, ours = errors(spec_of(kind, trainable=patterns, **settings), form, patterns)
    assert ours == theirs


@pytest.mark.parametrize(
    ("kind", "form"),
    [("lenet", SampleForm((1, 8, 8), 3)), ("cnn", VECTORS[2]), ("lstm", IMAGES[0])],
)
def test_samples_that_do_not_fit_have_the_same_error(kind: str, form: SampleForm) -> None:
    said = []
    for make in (MODELS[kind]().build, MODELS[kind]().entries):
        with pytest.raises(ScenarioError) as caught:
            make(form)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_only_the_network_of_torchvision_tells_its_size() -> None:
    spec = spec_of("torchvision", name="resnet18")
    assert spec.entries(IMAGES[0]) is None
    assert count_parameters(spec, IMAGES[0]) is None


def test_a_layer_is_too_large_where_pytorch_cannot_number_its_entries() -> None:
    form = SampleForm((1 << 30,), 1)
    for hidden, fits in ((1 << 30, True), (1 << 31, False)):
        spec = spec_of("mlp", hidden=[hidden])
        try:
            with torch.device("meta"):
                spec.build(form)
        except RuntimeError:
            assert not fits
        else:
            assert fits
        if fits:
            assert count_parameters(spec, form)
        else:
            with pytest.raises(ScenarioError, match="more weights than can be numbered"):
                count_parameters(spec, form)
