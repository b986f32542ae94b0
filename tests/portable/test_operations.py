"""Portable operations agree with PyTorch's own to rounding, and so do their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from primitives import values
from torch import Tensor, nn

from afl_sim.execution.numerics import deterministic
from afl_sim.portable.mode import NotPortable, portable_arithmetic
from afl_sim.portable.processor import shortfall

pytestmark = pytest.mark.skipif(shortfall() is not None, reason=str(shortfall()))

ROWS, IMAGES, SERIES = (8, 6), (4, 8, 9, 9), (7, 3, 6)
CLASSES = torch.arange(8) % 6
OTHER = values(8, 6).flip(0)

AXES = {name: {"dim": 1} for name in ("Softmin", "Softmax", "LogSoftmax")}

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(6, 4), ROWS),
    "Linear of series": (lambda: nn.Linear(6, 4), SERIES),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), IMAGES),
    "Conv2d": (lambda: nn.Conv2d(8, 12, 3, padding=1), IMAGES),
    "Conv2d with everything": (lambda: nn.Conv2d(8, 12, (3, 2), 2, (1, 0), 2, groups=4), IMAGES),
    "Conv2d depthwise": (lambda: nn.Conv2d(8, 8, 3, groups=8, bias=False), IMAGES),
    "Conv2d 1x1": (lambda: nn.Conv2d(8, 3, 1, 2), IMAGES),
    "Conv2d same": (lambda: nn.Conv2d(8, 4, 4, padding="same"), IMAGES),
    "Conv2d circular": (lambda: nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular"), IMAGES),
    "Conv2d unbatched": (lambda: nn.Conv2d(8, 4, 3), (8, 9, 9)),
    "Conv1d": (lambda: nn.Conv1d(3, 5, 3), SERIES),
    "Conv3d": (lambda: nn.Conv3d(4, 5, 3), (1, *IMAGES)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(8, 6, 3, 2, 1, 1, 2), IMAGES),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(8), IMAGES),
    "BatchNorm2d in evaluation": (lambda: nn.BatchNorm2d(8).eval(), IMAGES),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), ROWS),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(8), IMAGES),
    "GroupNorm": (lambda: nn.GroupNorm(2, 8), IMAGES),
    "LayerNorm": (lambda: nn.LayerNorm([9, 9]), IMAGES),
    "RMSNorm": (lambda: nn.RMSNorm(6), ROWS),
    "RNN": (lambda: nn.RNN(6, 5), SERIES),
    "GRU": (lambda: nn.GRU(6, 5, 2, bidirectional=True), SERIES),
    "LSTM": (lambda: nn.LSTM(6, 5, 2, bidirectional=True), SERIES),
    "LSTM of batches without bias": (lambda: nn.LSTM(6, 5, bias=False, batch_first=True), SERIES),
    "LSTM with projections": (lambda: nn.LSTM(6, 5, proj_size=3), SERIES),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, 1), IMAGES),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1), IMAGES),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(4), IMAGES),
    "AdaptiveAvgPool2d to 1": (lambda: nn.AdaptiveAvgPool2d(1), IMAGES),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d(3), IMAGES),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(1), IMAGES),
    "Unfold": (lambda: nn.Unfold(3), IMAGES),
    "Dropout": (lambda: nn.Dropout(0.3), ROWS),
    "Dropout2d": (lambda: nn.Dropout2d(0.3), IMAGES),
    "TransformerEncoderLayer": (
        lambda: nn.TransformerEncoderLayer(6, 2, 12, activation="gelu", batch_first=True),
        SERIES,
    ),
    **{
        name: (partial(getattr(nn, name), **AXES.get(name, {})), ROWS)
        for name in str.split(
            "GELU SiLU Mish ELU SELU CELU Softplus Hardswish Hardsigmoid LeakyReLU ReLU6 Hardtanh "
            "LogSigmoid Tanh Sigmoid Softsign PReLU ReLU Tanhshrink Softmin Softmax LogSoftmax "
            "Softshrink Hardshrink GLU"
        )
    },
    "GELU by tanh": (lambda: nn.GELU("tanh"), ROWS),
}

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "cross-entropy": lambda x: F.cross_entropy(x, CLASSES),
    "smoothed, weighted cross-entropy": lambda x: F.cross_entropy(
        x, CLASSES, label_smoothing=0.1, weight=torch.arange(6.0) + 1
    ),
    "summed cross-entropy": lambda x: F.cross_entropy(x, CLASSES, ignore_index=2, reduction="sum"),
    "unreduced cross-entropy": lambda x: F.cross_entropy(x, CLASSES, reduction="none"),
    "cross-entropy of maps": lambda x: F.cross_entropy(
        x.view(2, 4, 6), CLASSES.view(2, 4)[:, :1].expand(2, 6) % 4
    ),
    "cross-entropy of probabilities": lambda x: F.cross_entropy(x, torch.full((8, 6), 1 / 6)),
    "mse": lambda x: F.mse_loss(x, OTHER),
    "huber": lambda x: F.huber_loss(x, OTHER, delta=0.3),
    "smooth l1": lambda x: F.smooth_l1_loss(x, OTHER, beta=0.5),
    "l1": lambda x: F.l1_loss(x, OTHER),
    "bce with logits": lambda x: F.binary_cross_entropy_with_logits(
        x, (OTHER > 0).float(), pos_weight=torch.tensor(2.0)
    ),
    "bce": lambda x: F.binary_cross_entropy(x.sigmoid(), (OTHER > 0).float()),
    "kl": lambda x: F.kl_div(x.log_softmax(1), OTHER.softmax(1), reduction="batchmean"),
    "cosine similarity": lambda x: F.cosine_similarity(x, OTHER),
    "normalize": F.normalize,
    "std": lambda x: x.std(0),
    "var": lambda x: x.var(),
    "norm": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(1, dim=1),
    "norm 3": lambda x: x.norm(3),
    "norm inf": lambda x: torch.linalg.vector_norm(x, float("inf")),
    "logsumexp": lambda x: x.logsumexp((0, 1)),
    "prod": lambda x: x.prod(1),
    "cumsum": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(1),
    "pow": lambda x: x.abs().pow(0.37),
    "pow 2 3 5": lambda x: x**2 + x**3 + x**5,
    "2 to x": lambda x: 2.0**x,
    "x to y": lambda x: x.abs() ** OTHER,
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, OTHER),
    "mv": lambda x: x @ OTHER[0],
    "dot": lambda x: x[0] @ OTHER[0],
    "outer": lambda x: torch.outer(x[0], OTHER[0]),
    "baddbmm": lambda x: torch.baddbmm(
        OTHER[None], x[None], (OTHER.t() @ OTHER)[None], alpha=0.3, beta=0.7
    ),
    "addmv": lambda x: torch.addmv(OTHER[:, 0], x, OTHER[0], alpha=0.3, beta=0.7),
    "float64 product": lambda x: (x.double() @ OTHER.double().t()).float(),
    "exp log1p expm1": lambda x: x.exp() + x.abs().log1p() + x.expm1(),
    "log sqrt rsqrt": lambda x: x.abs().log() + x.abs().sqrt() + x.abs().rsqrt(),
    "sin cos erf": lambda x: (9 * x).sin() + (50 * x).cos() + x.erf(),
    "causal attention": lambda x: F.scaled_dot_product_attention(
        x[None, None], OTHER[None, None], x[None, None], is_causal=True
    ),
    "masked attention": lambda x: F.scaled_dot_product_attention(
        x[None, None], OTHER[None, None], x[None, None], attn_mask=OTHER[:, :1] < OTHER[:, 0] + 0.5
    ),
    "lerp": lambda x: torch.lerp(x, OTHER, 0.3) + torch.lerp(x, OTHER, OTHER.abs()),
    "add with a factor": lambda x: torch.add(x, OTHER, alpha=0.3) - torch.sub(OTHER, x, alpha=2),
    "addcmul addcdiv": lambda x: x.addcmul(x, OTHER, value=0.3).addcdiv(x, OTHER, value=-2),
    "remainder": lambda x: x % 0.3 + x.fmod(0.2),
    "embedding": lambda x: F.embedding(torch.tensor([[0, 3, 3], [7, 1, 0]]), x, padding_idx=1),
    "gather and sort": lambda x: x.sort().values + x.gather(1, CLASSES[:, None].expand(8, 6)),
    "quantile": lambda x: x.quantile(0.3),
    "clamp where amax": lambda x: torch.where(x > 0, x, -x).clamp(0.1, 0.5) + x.amax(1, True),
    "index_add": lambda x: torch.zeros(8, 6).index_add(0, CLASSES, x, alpha=0.3),
}


def _compared(module: Callable[[Tensor], Tensor], given: Tensor, apart: float = 3e-6) -> None:
    """Values and gradients inside and outside of portable arithmetic."""
    state = {} if not isinstance(module, nn.Module) else module.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    results = []
    for portable in (False, True):
        for name, value in before.items():
            state[name].copy_(value)
        leaf = given.clone().requires_grad_()
        inputs = [leaf, *(module.parameters() if isinstance(module, nn.Module) else ())]
        torch.manual_seed(1)
        if portable:
            with portable_arithmetic():
                results.append(_with_gradients(module, leaf, inputs))
        else:
            results.append(_with_gradients(module, leaf, inputs))
        results[-1] += [state[name].clone() for name in before]
    for plain, found in zip(*results, strict=True):
        assert found.dtype == plain.dtype
        assert found.stride() == plain.stride()
        size = plain.abs().max().item() if plain.numel() else 0.0
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=apart * size + 1e-7)


def _weights(shape: torch.Size) -> Tensor:
    """Unlike the inputs, so that no gradient vanishes."""
    return values(shape.numel() + 17)[17:].reshape(shape)


def _with_gradients(
    module: Callable[[Tensor], Tensor], leaf: Tensor, inputs: list[Tensor]
) -> list[Tensor]:
    out = module(leaf)
    if isinstance(out, tuple):  # a recurrent layer: its last state counts too
        last = out[1] if isinstance(out[1], tuple) else (out[1],)
        out = torch.cat([part.reshape(-1) for part in (out[0], *last)])
    gradients = torch.autograd.grad(out, inputs, _weights(out.shape))
    return [out.detach(), *gradients]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_agrees_with_pytorch(name: str) -> None:
    make, shape = LAYERS[name]
    with deterministic():
        torch.manual_seed(0)
        module = make()
        for buffer in module.buffers():
            if buffer.is_floating_point():
                buffer.add_(0.3)
        _compared(module, values(*shape, scale=3.0))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_agrees_with_pytorch(name: str) -> None:
    with deterministic():
        _compared(FUNCTIONS[name], values(*ROWS, scale=2.0))


@pytest.mark.parametrize(
    "function",
    [
        torch.linalg.svdvals,
        torch.fft.fft,
        torch.linalg.inv,
        torch.digamma,
        torch.Tensor.exponential_,
    ],
)
def test_what_is_not_portable_is_an_error(function: Callable[[Tensor], Tensor]) -> None:
    with portable_arithmetic(), pytest.raises(NotPortable, match=r"^aten\._?\w+, which is not"):
        function(torch.eye(3))


def test_types_of_less_precision_are_not_portable() -> None:
    x = torch.ones(3, 3, dtype=torch.bfloat16)
    with portable_arithmetic(), pytest.raises(NotPortable, match=r"aten\.mm.* for bfloat16"):
        x @ x


def test_integers_and_truth_values_are_exact() -> None:
    x = torch.arange(12).view(3, 4)
    with portable_arithmetic():
        assert x.sum(0).tolist() == [12, 15, 18, 21]
        assert (x > 3).sum().item() == 8
        assert (x @ x.t()).tolist() == (x.numpy() @ x.numpy().T).tolist()
        assert (x.add(x, alpha=2) % 5 - x // 2).sum().item() == sum(
            3 * i % 5 - i // 2 for i in range(12)
        )
        assert x.float().mean().item() == 5.5
        assert (x**0.5)[0, 2].item() == pytest.approx(2**0.5)


def test_operations_write_where_they_are_told_to() -> None:
    x = values(5, 4)
    with portable_arithmetic():
        for name in ("exp_", "tanh_", "sigmoid_", "square_", "abs_"):
            given = x.clone()
            assert getattr(given, name)() is given
            torch.testing.assert_close(given, getattr(x, name[:-1])())
        for power in (2, 3, 0.5, 0.3):
            torch.testing.assert_close(x.abs().pow_(power), x.abs().pow(power))
        out = torch.empty(0)
        assert torch.mm(x, x.t(), out=out) is out
        torch.testing.assert_close(out, x @ x.t())
        view = torch.zeros(5, 8)
        view[:, ::2].addmm_(x, torch.eye(4))
        torch.testing.assert_close(view[:, ::2], x)


def test_large_batches_are_convolved_in_parts() -> None:
    """The parts' sums are those of the whole."""
    with deterministic():
        torch.manual_seed(0)
        _compared(nn.Conv2d(8, 4, 5, padding=2), values(12, 8, 33, 33), 2e-5)
