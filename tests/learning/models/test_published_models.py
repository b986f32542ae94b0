"""Built-in models against what their papers report, and what sequences and torchvision need."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import IGNORED, SampleForm, Target
from afl_sim.learning.data.made_up import made_up_in
from afl_sim.learning.models.built_in import MODELS, build_model, count_parameters
from afl_sim.learning.models.families.residual_network import Block

CIFAR = SampleForm((3, 32, 32), 10)
TINY = {
    "lstm": {"embedding": 4, "hidden": 6},
    "transformer": {"width": 8, "heads": 2},
}


def tokens(target: Target, length: int = 7) -> SampleForm:
    return SampleForm((length,), 5, target, vocabulary=11)


def made_up(form: SampleForm, count: int = 3) -> tuple[Tensor, Tensor]:
    return made_up_in(form, count, torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("kind", "settings", "form", "expected"),
    [
        # He et al., CVPR 2016, table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 million.
        ("resnet", {}, CIFAR, 269_722),
        ("resnet", {"norm": "batch"}, CIFAR, 269_722),
        ("resnet", {"depth": 32}, CIFAR, 464_154),
        ("resnet", {"depth": 44}, CIFAR, 658_586),
        ("resnet", {"depth": 56}, CIFAR, 853_018),
        ("resnet", {"depth": 110}, CIFAR, 1_727_962),
        # The layers of ModerateCNN in the code of Wang et al., ICLR 2020 (IBM/FedMA, model.py).
        (
            "vgg9",
            {},
            CIFAR,
            sum((9 * i + 1) * o for i, o in pairwise((3, 32, 64, 128, 128, 256, 256)))
            + 4097 * 512
            + 513 * 512
            + 513 * 10,
        ),
        # The layers of Reddi et al., ICLR 2021 (google-research/federated, utils/models).
        # Keras's LSTM has 4 (i + o + 1) o numbers; PyTorch's has a second bias of 4 o.
        ("lstm", {}, SampleForm((80,), 90, "tokens", 90), 820_522 + 2 * 4 * 256),
        (
            "lstm",
            {"embedding": 96, "hidden": 670, "layers": 1, "projection": 96},
            SampleForm((20,), 10_004, "tokens", 10_004),
            4_050_748 + 4 * 670,
        ),
        # 12 w^2 + 13 w for each block, as in GPT-2; embeddings, last norm, and an output layer.
        (
            "transformer",
            {},
            SampleForm((80,), 90, "tokens", 90),
            2 * (12 * 128**2 + 13 * 128) + (90 + 80) * 128 + 2 * 128 + 129 * 90,
        ),
    ],
)
def test_models_have_the_published_numbers_of_parameters(
    kind: str, settings: dict, form: SampleForm, expected: int
) -> None:
    assert count_parameters(MODELS[kind](**settings), form) == expected


def test_a_shortcut_halves_the_sides_and_adds_channels_of_zeros() -> None:
    block = Block(2, 4, 2, (nn.Identity(), nn.Identity()))
    for weight in block.parameters():
        nn.init.zeros_(weight)
    maps = torch.rand(3, 2, 5, 5)
    out = block(maps)
    assert out.shape == (3, 4, 3, 3)
    assert torch.equal(out[:, 1:3], maps[:, :, ::2, ::2])
    assert not out[:, [0, 3]].any()


def test_groups_are_normalised_unless_batches_are_asked_for() -> None:
    def norms(**settings: str) -> set[type]:
        layers = MODELS["resnet"](depth=8, **settings).build(CIFAR).modules()
        return {type(each) for each in layers if isinstance(each, nn.GroupNorm | nn.BatchNorm2d)}

    assert norms() == {nn.GroupNorm}
    assert norms(norm="batch") == {nn.BatchNorm2d}


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("target", ["class", "number", "several"])
@pytest.mark.parametrize("readout", ["last", "mean"])
def test_a_model_of_sequences_gives_one_row_for_a_sample(
    kind: str, target: Target, readout: str
) -> None:
    form = tokens(target)
    model = MODELS[kind](**TINY[kind], readout=readout).build(form)
    assert model(made_up(form)[0]).shape == (3, 5)


@pytest.mark.parametrize("kind", TINY)
def test_a_model_of_sequences_gives_outputs_for_each_labelled_position(kind: str) -> None:
    form = tokens("tokens")
    inputs, labels = made_up(form)
    outputs = MODELS[kind](**TINY[kind]).build(form)(inputs)
    assert outputs.shape == (3, 7, 5)
    loss = F.cross_entropy(outputs.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    assert math.isfinite(loss.detach())


@pytest.mark.parametrize("kind", TINY)
def test_no_position_sees_a_later_one(kind: str) -> None:
    form = tokens("tokens")
    model = build_model(MODELS[kind](**TINY[kind]), form, 3).eval()
    inputs, _ = made_up(form)
    other = inputs.clone()
    other[:, 4] = (other[:, 4] + 1) % 11
    before, after = model(inputs), model(other)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.isclose(before[:, 4:], after[:, 4:]).all(2).any()


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("form", [SampleForm((7,), 5), CIFAR])
def test_a_model_of_sequences_refuses_numbers(kind: str, form: SampleForm) -> None:
    with pytest.raises(ScenarioError, match="takes sequences of tokens, but the inputs are "):
        MODELS[kind]().build(form)


def test_attention_is_that_of_its_formula() -> None:
    """softmax(Q K^T / sqrt(d)) V for each head, over the positions up to each one."""
    form = tokens("tokens")
    model = build_model(MODELS["transformer"](width=6, heads=2, layers=1), form, 3)
    attention = model.blocks[0].attention
    x = torch.randn(1, 7, 6)
    queries, keys, values = attention.queries_keys_values(x)[0].split(6, 1)
    mixed = torch.zeros(7, 6)
    for head in (slice(0, 3), slice(3, 6)):
        for place in range(7):
            seen = slice(0, place + 1)
            scores = keys[seen, head] @ queries[place, head] / math.sqrt(3)
            mixed[place, head] = scores.softmax(0) @ values[seen, head]
    torch.testing.assert_close(attention(x)[0], attention.out(mixed))


def test_an_image_model_refuses_labels_of_positions() -> None:
    with pytest.raises(ScenarioError, match="each position has a label of its own"):
        MODELS["resnet"]().build(SampleForm((3, 32, 32), 10, "tokens"))
    with pytest.raises(ScenarioError, match="each position has a label of its own"):
        MODELS["linear"]().build(SampleForm((8,), 10, "tokens"))


SMALL = {"name": "shufflenet_v2_x0_5"}


def test_the_number_of_classes_changes_only_the_head_of_a_torchvision_model() -> None:
    spec = MODELS["torchvision"](**SMALL)
    first, second = (build_model(spec, SampleForm((3, 32, 32), n), 3).state_dict() for n in (10, 7))
    other = build_model(spec, CIFAR, 4).state_dict()
    head = {"fc.weight", "fc.bias"}
    assert first["fc.weight"].shape == (10, 1024)
    assert second["fc.weight"].shape == (7, 1024)
    for name in first.keys() - head:
        assert torch.equal(first[name], second[name]), name
    assert not torch.equal(first["conv1.0.weight"], other["conv1.0.weight"])
    assert not torch.equal(first["fc.weight"], other["fc.weight"])


def test_other_keys_are_arguments_of_torchvisions_function() -> None:
    build = MODELS["torchvision"]
    model = build(name="mobilenet_v2", width_mult=0.25).build(CIFAR)
    assert sum(p.numel() for p in model.parameters()) < 500_000
    with pytest.raises(ScenarioError, match=r"torchvision's mobilenet_v2: TypeError: .*'widht'"):
        build(name="mobilenet_v2", widht=0.25).build(CIFAR)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"name": "mobilenet_v3_smal"}, "did you mean 'mobilenet_v3_small'"),
        ({"name": "fcn_resnet50"}, "no classification model 'fcn_resnet50'"),
        ({**SMALL, "weights": "DEFAULT"}, "weights: expected none"),
        ({**SMALL, "num_classes": 10}, "num_classes: expected none"),
        ({}, "name"),
    ],
)
def test_what_torchvision_cannot_make_is_refused(block: dict, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        MODELS["torchvision"](**block)


def test_torchvision_models_take_colour_images_only() -> None:
    with pytest.raises(ScenarioError, match="3 channels, but the inputs are 1x28x28 images"):
        MODELS["torchvision"](**SMALL).build(SampleForm((1, 28, 28), 10))
