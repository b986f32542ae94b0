"""A chain computes what the network computes, and its trainer does what the other trainer does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_training import MEAN_LOSSES, SEED, Held, sgd
from torch import Tensor, nn

from afl_sim.learning.chain.chain import Chain
from afl_sim.learning.chain.recognition import chain_of
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import build_model
from afl_sim.learning.models.families.convolutional import Cnn, LeNet
from afl_sim.learning.models.families.dense import Logistic, Mlp
from afl_sim.learning.models.spec import ModelSpec
from afl_sim.learning.training.chain_training import ChainTrainer
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.learning.training.phase import Fresh, Phase
from afl_sim.portable.processor import shortfall
from afl_sim.streams import Streams

pytestmark = pytest.mark.skipif(shortfall() is not None, reason=str(shortfall()))

CLASSES = 4
NETWORKS: dict[str, tuple[ModelSpec, tuple[int, ...], int]] = {
    "logistic": (Logistic(), (1, 3, 4), 5),
    "mlp": (Mlp(hidden=(7, 6)), (1, 3, 4), 5),
    "mlp without a hidden layer": (Mlp(hidden=()), (2, 2, 2), 1),
    "lenet": (LeNet(), (1, 17, 18), 3),
    "lenet of three channels": (LeNet(), (3, 16, 16), 1),
    "cnn": (Cnn(channels=(3, 5), hidden=6), (1, 9, 10), 3),
    "cnn with a margin of 1": (Cnn(channels=(3, 5), hidden=6, padding=1), (2, 12, 11), 2),
    "cnn without a margin": (Cnn(channels=(41, 2), hidden=6, padding=0), (1, 16, 17), 2),
    "more samples than a piece": (Cnn(channels=(2, 2), hidden=3), (1, 4, 4), 70),
    "more rows than a piece": (Logistic(), (1, 1, 3), 600),
    "vectors": (Mlp(hidden=(5,)), (7,), 6),
    "matrices": (Logistic(), (3, 4), 6),
}


def _drawn(shape: tuple[int, ...], samples: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(3)
    return (
        torch.randn(samples, *shape, generator=draws),
        torch.randint(0, CLASSES, (samples,), generator=draws),
    )


def _network(name: str) -> tuple[nn.Module, tuple[int, ...], int]:
    spec, shape, batch = NETWORKS[name]
    return build_model(spec, SampleForm(shape, CLASSES), 2), shape, batch


def _vector(model: nn.Module) -> np.ndarray:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()


def _chain(model: nn.Module, shape: tuple[int, ...], loss: str = "cross_entropy") -> Chain:
    chain = chain_of(model, shape, loss)
    assert chain is not None
    chain.load(_vector(model))
    return chain


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_losses_gradients_and_steps_are_those_of_the_network(name: str, loss: str) -> None:
    model, shape, batch = _network(name)
    images, labels = _drawn(shape, batch)
    chain = _chain(model, shape, loss)
    before = _vector(model)
    samples, rows = images.reshape(batch, -1).numpy(), np.arange(batch)

    model.double()
    outputs = model(images.double())
    value = MEAN_LOSSES[loss](outputs, labels)
    value.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).numpy()
    near: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-6}

    np.testing.assert_allclose(chain.outputs(samples, rows), outputs.detach().numpy(), **near)
    losses = chain.differentiate(samples, labels.numpy(), rows, 1 / batch)
    assert np.mean(losses) == pytest.approx(float(value.detach()), rel=1e-5)
    np.testing.assert_allclose(chain.parameters.outward(chain.gradient), gradient, **near)
    assert chain.descend(samples, labels.numpy(), rows, 0.5) == losses
    np.testing.assert_allclose(
        chain.parameters.outward(chain.weights), before - 0.5 * gradient, **near
    )


def test_gradients_add_up_and_samples_have_weights() -> None:
    model, shape, _ = _network("lenet")
    images, labels = _drawn(shape, 7)
    chain = _chain(model, shape)
    samples, weights = images.reshape(7, -1).numpy(), np.linspace(0, 2, 7, dtype=np.float32)
    chain.differentiate(samples, labels.numpy(), np.arange(4), weights[:4])
    chain.differentiate(samples, labels.numpy(), np.arange(4, 7), weights[4:], add=True)
    found = chain.parameters.outward(chain.gradient)
    (
        F.cross_entropy(model(images), labels, reduction="none") @ torch.from_numpy(weights)
    ).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


def test_of_equal_pixels_in_a_window_the_first_gets_the_gradient() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(1, CLASSES)
    )
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    images, labels = torch.ones(1, 1, 2, 2), torch.tensor([1])
    chain = _chain(model, (1, 2, 2))
    chain.differentiate(images.reshape(1, -1).numpy(), labels.numpy(), np.arange(1), 1.0)
    F.cross_entropy(model(images), labels).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).numpy()
    np.testing.assert_allclose(
        chain.parameters.outward(chain.gradient), expected, rtol=1e-5, atol=1e-7
    )


def test_batch_sizes_do_not_leave_traces() -> None:
    model, shape, _ = _network("cnn")
    images, labels = _drawn(shape, 9)
    samples = images.reshape(9, -1).numpy()
    used, fresh = _chain(model, shape), _chain(model, shape)
    for batch in (9, 2, 5, 1, 7, 3, 9):
        used.differentiate(samples, labels.numpy(), np.arange(batch), 1.0)
    used.differentiate(samples, labels.numpy(), np.arange(3), 1.0)
    fresh.differentiate(samples, labels.numpy(), np.arange(3), 1.0)
    assert used.gradient.tobytes() == fresh.gradient.tobytes()


def _trainers(
    name: str, samples: int = 23, **settings: Any
) -> tuple[LocalTrainer, LocalTrainer, Tensor]:
    """A trainer of the network, one of its chain, and the initial vector."""
    model, shape, _ = _network(name)
    data = _drawn(shape, samples)
    settings.setdefault("optimizer", sgd())
    settings.setdefault("batch_size", 5)
    given = LocalSettings(**settings)
    shards, streams = Held(samples=samples), Streams(SEED)
    plain = LocalTrainer(model, *data, shards, streams, given)
    other, *_ = _network(name)
    start = torch.from_numpy(_vector(other))
    chain = ChainTrainer(_chain(other, shape, given.loss), other, *data, shards, streams, given)
    return plain, chain, start


def _close(one: LocalResult, other: LocalResult, rel: float = 1e-5) -> None:
    torch.testing.assert_close(one.delta, other.delta, rtol=rel * 20, atol=rel)
    torch.testing.assert_close(one.vector, other.vector, rtol=rel * 20, atol=rel)
    assert one.loss == pytest.approx(other.loss, rel=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"drop_last": True},
        {"shuffle": False},
        {"batch_size": None},
        {"clip_norm": 0.05},
        {"proximal": 0.3},
        {"gradient_noise": 0.1},
        {"loss": "mse"},
        {"optimizer": sgd(weight_decay=0.1)},
        {"optimizer": sgd(weight_decay=0.1), "proximal": 0.3},
        {"gradient": True},
        {"gradient": True, "clip_norm": 0.05, "gradient_noise": 0.1},
        {"gradient": True, "gradient_noise": 0.1, "shared_noise": True},
        {"proximal": 0.3, "gradient_noise": 0.1, "clip_norm": 0.2, "optimizer": sgd(momentum=0.9)},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_a_task_is_done_as_the_network_is_trained(name: str, settings: dict[str, Any]) -> None:
    plain, chain, start = _trainers(name, **settings)
    correction = torch.linspace(-0.1, 0.1, len(start))
    for shift in (None, correction):
        for factor in (1.0, 1.7):
            results = [
                local.train(1, 2, 7, start, start * 0.9, 0.5, shift, Phase(proximal_factor=factor))
                for local in (plain, chain)
            ]
            _close(*results)


@pytest.mark.parametrize("kind", sorted(OPTIMIZERS))
def test_every_optimizer_takes_the_same_steps(kind: str) -> None:
    optimizer = OPTIMIZERS[kind](**({"lr": 0.01} if kind != "Adafactor" else {}))
    plain, chain, start = _trainers("cnn", optimizer=optimizer)
    results = [local.train(0, 0, 4, start, start, 1.0) for local in (plain, chain)]
    # Where a gradient is nearly 0, its sign decides the steps of some optimizers.
    near = (results[0].vector - results[1].vector).abs() < 1e-4
    assert near.float().mean() > 0.995


def test_a_task_without_steps_returns_the_start() -> None:
    _, chain, start = _trainers("mlp")
    result = chain.train(0, 0, 0, start, start, 1.0)
    assert torch.equal(result.vector, start)
    assert not result.delta.any()


def test_dropout_is_drawn_for_each_task_and_absent_from_evaluations() -> None:
    spec, shape, _ = NETWORKS["mlp"]
    model = build_model(spec.model_copy(update={"dropout": 0.5}), SampleForm(shape, CLASSES), 2)
    data = _drawn(shape, 23)
    given = LocalSettings(sgd(), 5)
    chain = chain_of(model, shape, "cross_entropy")
    assert chain is not None
    local = ChainTrainer(chain, model, *data, Held(samples=23), Streams(SEED), given)
    start = torch.from_numpy(_vector(model))
    first, again, other = (local.train(0, task, 3, start, start, 1.0) for task in (0, 0, 1))
    assert torch.equal(first.vector, again.vector)
    assert not torch.equal(first.vector, other.vector)
    local.load(start, "evaluation.dropout")
    torch.testing.assert_close(local.outputs(data[0]), model.eval()(data[0]), rtol=1e-4, atol=1e-5)
    plain = LocalTrainer(model, *data, Held(samples=23), Streams(SEED), given)
    norms = [FullGradient(each, Held(samples=23), 1).squared_norm(start) for each in (plain, local)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


@pytest.mark.parametrize(
    "optimizer",
    [
        sgd(),
        sgd(weight_decay=0.1),
        sgd(momentum=0.9),
        OPTIMIZERS["Adam"](lr=0.01),
        OPTIMIZERS["Adafactor"](lr=0.01),
    ],
    ids=str,
)
@pytest.mark.parametrize("trained", [None, (True, True, False, False, True, True)])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_newer_model_is_merged_like_into_the_network(
    optimizer: Any, trained: tuple[bool, ...] | None, after: int
) -> None:
    """The optimizer's state stays, and so do parameters that are not trained."""
    plain, chain, start = _trainers("mlp", optimizer=optimizer)
    newer = torch.cat([start + torch.linspace(-1, 1, len(start)), torch.ones(3)])
    phase = Phase(trained=trained, fresh=Fresh(after, newer, 0.375))
    results = [each.train(0, 1, 4, start, start, 1.0, None, phase) for each in (plain, chain)]
    _close(*results)
    without = plain.train(0, 1, 4, start, start, 1.0, None, Phase(trained=trained))
    assert not torch.equal(results[0].vector, without.vector)


def test_dropout_of_a_chain_leaves_the_global_generator_alone() -> None:
    """Runs in other threads draw from it."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, CLASSES))
    chain = chain_of(model, (1, 2, 2), "cross_entropy")
    assert chain is not None
    data = _drawn((1, 2, 2), 6)
    given = LocalSettings(sgd(), 2)
    local = ChainTrainer(chain, model, *data, Held(samples=6), Streams(SEED), given)
    start = torch.from_numpy(_vector(model))
    before = torch.get_rng_state()
    local.train(0, 0, 3, start, start, 1.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropped_units_keep_their_expected_value() -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(1, 20_000), nn.Dropout(0.25), nn.Linear(20_000, 2)
    )
    chain = _chain(model, (1, 1, 1))
    with torch.no_grad():
        chain.load(np.ones(80_002, np.float32))
    torch.manual_seed(1)
    program = chain.program(1)
    program.forward(np.ones((1, 1), np.float32), np.array([0]), np.array([0]))
    units = program.links[2].y
    assert set(np.unique(units)) == {0.0, np.float32(2) * np.float32(1 / 0.75)}
    assert units.mean() == pytest.approx(2.0, abs=0.05)


def test_a_full_gradient_is_that_of_the_network() -> None:
    plain, chain, start = _trainers("lenet")
    norms = [FullGradient(each, Held(samples=23), 1).squared_norm(start) for each in (plain, chain)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


class _Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def _watched() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].register_forward_hook(lambda *_: None)
    return model


def _shared() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)


def _frozen() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].bias.requires_grad_(False)
    return model


def _with_a_changed_gradient() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].weight.register_hook(lambda gradient: 2 * gradient)
    return model


def _with_a_watched_gradient() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].weight.register_post_accumulate_grad_hook(lambda weight: None)
    return model


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2), _Own()),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 2)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)),
        nn.Sequential(nn.Flatten(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(2, 2)),
        nn.Sequential(
            nn.Conv2d(1, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 2)
        ),
        nn.Sequential(
            nn.Conv2d(1, 2, 1, stride=2), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2)
        ),
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2), nn.ReLU()),
        _watched(),
        _shared(),
        _frozen(),
        _with_a_changed_gradient(),
        _with_a_watched_gradient(),
    ],
    ids=range(14),
)
def test_what_is_no_chain_is_not_taken_for_one(model: nn.Module) -> None:
    assert chain_of(model, (1, 2, 2), "cross_entropy") is None


def test_nested_sequences_are_chains() -> None:
    inner = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    model = nn.Sequential(nn.Sequential(nn.Flatten(), inner), nn.Linear(3, 2))
    assert chain_of(model, (1, 2, 2), "cross_entropy") is not None
