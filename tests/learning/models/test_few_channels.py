"""Convolution, pooling and ReLU in one, beside PyTorch's three operations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import Held, trainer
from torch import Tensor, nn

from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.families.convolutional import Cnn, LeNet
from afl_sim.learning.models.few_channels import PooledConvolution, with_few_channels_pooled

IMAGES = (1, 28, 28)


def three(maps: Tensor, convolution: nn.Conv2d) -> Tensor:
    """What `PooledConvolution` stands for."""
    return F.relu(F.max_pool2d(F.conv2d(maps, convolution.weight, convolution.bias), 2))


def gradients(
    of: Callable[[Tensor], Tensor], maps: Tensor, convolution: nn.Conv2d, towards: Tensor
) -> tuple[Tensor, ...]:
    maps = maps.detach().requires_grad_()
    outputs = of(maps)
    found = torch.autograd.grad(
        outputs, (maps, convolution.weight, convolution.bias), towards.expand_as(outputs)
    )
    return outputs, *found


@st.composite
def layers(draw: st.DrawFn) -> tuple[Tensor, nn.Conv2d, Tensor]:
    """Maps, a convolution in double precision, and the gradient of its pooled output."""
    side = st.integers(1, 4)
    rows, columns = draw(side), draw(side)
    height, width = rows + draw(side), columns + draw(side)
    batch, channels, out = draw(st.integers(1, 5)), draw(side), draw(side)
    torch.manual_seed(draw(st.integers(0, 999)))
    convolution = nn.Conv2d(channels, out, (rows, columns), dtype=torch.float64)
    maps = torch.randn(batch, channels, height, width, dtype=torch.float64)
    pooled = ((height - rows + 1) // 2, (width - columns + 1) // 2)
    return maps, convolution, torch.randn(batch, out, *pooled, dtype=torch.float64)


@settings(deadline=None)
@given(layers())
def test_outputs_and_gradients_are_those_of_the_three_operations(
    layer: tuple[Tensor, nn.Conv2d, Tensor],
) -> None:
    maps, convolution, towards = layer
    ours = gradients(PooledConvolution(convolution), maps, convolution, towards)
    theirs = gradients(lambda x: three(x, convolution), maps, convolution, towards)
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_by_hand(layout: torch.memory_format) -> None:
    """A kernel of (1, 2) on three rows of three: pooling leaves out the last of differences."""
    convolution = nn.Conv2d(1, 1, (1, 2))
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[[[1.0, -1.0]]]]))
        assert convolution.bias is not None
        convolution.bias.fill_(0.5)
    maps = torch.tensor([[[[3.0, 1.0, 5.0], [0.0, 4.0, 1.0], [9.0, 0.0, 0.0]]]])
    maps = maps.to(memory_format=layout)
    # Differences of neighbours: [2, -4], [-4, 3], [9, 0]; the largest of the first four is 3.
    pooled, of_maps, of_weight, of_bias = gradients(
        PooledConvolution(convolution), maps, convolution, torch.tensor(2.0)
    )
    assert pooled.tolist() == [[[[3.5]]]]
    assert of_maps.tolist() == [[[[0, 0, 0], [0, 2, -2], [0, 0, 0]]]]
    assert of_weight.tolist() == [[[[8, 2]]]]
    assert of_bias.tolist() == [2]


def test_of_equal_numbers_the_first_has_the_gradient_as_in_pytorch() -> None:
    """The background of an image is the same everywhere, so that ties are the rule."""
    convolution = nn.Conv2d(2, 3, 1)
    with torch.no_grad():
        convolution.weight.abs_()
    maps = torch.ones(2, 2, 6, 4)
    towards = torch.randn(2, 3, 3, 2)
    ours = gradients(PooledConvolution(convolution), maps, convolution, towards)
    theirs = gradients(lambda x: three(x, convolution), maps, convolution, towards)
    torch.testing.assert_close(ours[1], theirs[1])
    assert bool((ours[1][:, :, 1::2] == 0).all() and (ours[1][:, :, :, 1::2] == 0).all())


def test_what_is_not_finite_stays_so() -> None:
    convolution = nn.Conv2d(1, 2, 3)
    maps = torch.zeros(1, 1, 6, 6)
    maps[0, 0, 2, 2] = float("nan")
    assert bool(PooledConvolution(convolution)(maps).isnan().any())


def test_going_back_twice_is_an_error_and_never_a_wrong_number() -> None:
    layer = PooledConvolution(nn.Conv2d(1, 2, 3))
    outputs = layer(torch.randn(1, 1, 6, 6)).sum()
    outputs.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.backward()


def test_evaluation_and_large_batches_are_the_three_operations_to_the_bit() -> None:
    convolution = nn.Conv2d(1, 10, 5)
    layer = PooledConvolution(convolution)
    many = torch.randn(65, *IMAGES)
    assert layer(many[:64]).stride(0) == 1  # the batch is innermost
    assert layer(many).stride(0) > 1
    assert layer(many).equal(three(many, convolution))
    assert layer.eval()(many[:5]).equal(three(many[:5], convolution))


@pytest.mark.parametrize("shape", [(2, 1, 4, 28), (2, 1, 5, 28), (2, 3, 28, 28)])
def test_maps_that_do_not_fit_are_refused_by_pytorch(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError):
        PooledConvolution(nn.Conv2d(1, 10, 5))(torch.zeros(shape))


def test_a_model_keeps_its_parameters_and_their_names() -> None:
    model = LeNet().build(SampleForm(IMAGES, 10))
    before = dict(model.named_parameters())
    model = with_few_channels_pooled(model)
    assert [type(layer) for layer in model] == [
        PooledConvolution,
        nn.Identity,
        nn.Identity,
        PooledConvolution,
        *(nn.Identity, nn.Identity, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear),
    ]
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)


def _convolution(**chosen: object) -> nn.Conv2d:
    return nn.Conv2d(2, **({"out_channels": 4, "kernel_size": 3} | chosen))  # type: ignore[arg-type]


class OwnConvolution(nn.Conv2d):
    """Somebody's subclass, which may do anything."""


def _watched() -> nn.MaxPool2d:
    pooling = nn.MaxPool2d(2)
    pooling.register_forward_hook(lambda *_: None)
    return pooling


def _altered() -> nn.ReLU:
    activation = nn.ReLU()
    activation.forward = torch.tanh  # type: ignore[method-assign, assignment]
    return activation


@pytest.mark.parametrize(
    "layers",
    [
        (_convolution(padding=1), nn.MaxPool2d(2), nn.ReLU()),
        (_convolution(padding="same"), nn.MaxPool2d(2), nn.ReLU()),
        (_convolution(stride=2), nn.MaxPool2d(2), nn.ReLU()),
        (_convolution(dilation=2), nn.MaxPool2d(2), nn.ReLU()),
        (_convolution(groups=2), nn.MaxPool2d(2), nn.ReLU()),
        (_convolution(bias=False), nn.MaxPool2d(2), nn.ReLU()),
        (_convolution(out_channels=21), nn.MaxPool2d(2), nn.ReLU()),
        (OwnConvolution(2, 4, 3), nn.MaxPool2d(2), nn.ReLU()),
        (_convolution(), nn.MaxPool2d(3), nn.ReLU()),
        (_convolution(), nn.MaxPool2d(2, 1), nn.ReLU()),
        (_convolution(), nn.MaxPool2d(2, padding=1), nn.ReLU()),
        (_convolution(), nn.MaxPool2d(2, dilation=2), nn.ReLU()),
        (_convolution(), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()),
        (_convolution(), nn.AvgPool2d(2), nn.ReLU()),
        (_convolution(), nn.MaxPool2d(2), nn.Tanh()),
        (_convolution(), _watched(), nn.ReLU()),
        (_convolution(), nn.MaxPool2d(2), _altered()),
        (_convolution(), nn.ReLU(), nn.MaxPool2d(2)),
    ],
)
def test_what_is_something_else_is_left_alone(layers: tuple[nn.Module, ...]) -> None:
    model = nn.Sequential(*layers)
    assert with_few_channels_pooled(model) is model
    assert tuple(model) == layers


def test_a_chain_that_somebody_watches_is_left_alone() -> None:
    model = nn.Sequential(nn.Sequential(_convolution(), nn.MaxPool2d(2), nn.ReLU()), nn.Flatten())
    model[0].register_forward_pre_hook(lambda *_: None)
    assert with_few_channels_pooled(model) is model


def test_a_model_with_a_wide_convolution_is_left_alone() -> None:
    model = Cnn(channels=(10, 50), padding=0).build(SampleForm(IMAGES, 10))
    assert with_few_channels_pooled(model) is model


@pytest.mark.parametrize(
    ("chosen", "pooled"), [({}, True), ({"batched": True}, False), ({"precision": "bf16"}, False)]
)
def test_training_pools_what_it_trains_alone_in_float32(
    chosen: dict[str, object], pooled: bool
) -> None:
    sample = torch.randn(6, *IMAGES), torch.zeros(6, dtype=torch.int64)
    local = trainer(LeNet().build(SampleForm(IMAGES, 10)), sample, Held(samples=6), **chosen)
    assert isinstance(local.model[0], PooledConvolution) is pooled  # type: ignore[index]
