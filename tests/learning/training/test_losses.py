"""Losses of all forms of labels: their means, and how batches share in a mean."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from afl_sim.errors import TaskError
from afl_sim.learning.data.form import IGNORED
from afl_sim.learning.training.batched_training import BatchedTrainer, LocalTask
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.losses import loss_of, try_loss
from afl_sim.learning.training.model_trial import Everything
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.portable.block import arithmetic_of
from afl_sim.scenario.sections.losses import LOSS_RULES, Huber
from afl_sim.streams import Streams

DRAWS = torch.Generator().manual_seed(3)


def drawn(*shape):
    return torch.randn(shape, generator=DRAWS)


NUMBERS = drawn(6, 2), drawn(6, 2)
SEVERAL = drawn(6, 4), (drawn(6, 4) > 0).float()
TOKENS = drawn(6, 5, 4), torch.randint(4, (6, 5), generator=DRAWS)
TOKENS[1][0, 2:] = IGNORED
TOKENS[1][3] = IGNORED


def pinball(outputs, labels, *, quantile: float = 0.5):
    error = labels - outputs
    return torch.maximum(quantile * error, (quantile - 1) * error).mean(1)


def likelihood(outputs, labels):
    return -outputs.log_softmax(1).gather(1, labels[:, None])[:, 0]


PINBALL = LOSS_RULES.rule_of(pinball, quantile=0.9)
LIKELIHOOD = LOSS_RULES.rule_of(likelihood)
CASES = {
    "mse": ("mse", NUMBERS, lambda o, y: ((o - y) ** 2).mean()),
    "l1": ("l1", NUMBERS, lambda o, y: (o - y).abs().mean()),
    "huber": ("huber", NUMBERS, F.smooth_l1_loss),
    "huber of .1": (
        Huber(kind="huber", delta=0.1),
        NUMBERS,
        lambda o, y: 0.1 * F.smooth_l1_loss(o, y, beta=0.1),
    ),
    "own": (PINBALL, NUMBERS, lambda o, y: torch.maximum(0.9 * (y - o), -0.1 * (y - o)).mean()),
    "bce": (
        "bce",
        SEVERAL,
        lambda o, y: -(y * o.sigmoid().log() + (1 - y) * (-o).sigmoid().log()).mean(),
    ),
    "tokens": (
        "cross_entropy",
        TOKENS,
        lambda o, y: -o.log_softmax(2)[y >= 0].gather(1, y[y >= 0][:, None]).mean(),
    ),
    "own of tokens": (
        LIKELIHOOD,
        TOKENS,
        lambda o, y: -o.log_softmax(2)[y >= 0].gather(1, y[y >= 0][:, None]).mean(),
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    return request.param


def test_a_loss_is_the_mean_over_all_that_counts(case):
    name, (outputs, labels), by_hand = case
    assert loss_of(name, labels)(outputs, labels).item() == pytest.approx(
        by_hand(outputs, labels).item(), rel=1e-5
    )


@pytest.mark.parametrize("kind", [name for name in CASES if not name.startswith("own")])
def test_a_built_in_loss_is_portable(kind):
    name, (outputs, labels), by_hand = CASES[kind]
    given = outputs.clone().requires_grad_()
    with arithmetic_of(portable=True):
        value = loss_of(name, labels)(given, labels)
        value.backward()
        each = loss_of(name, labels).sums(outputs, labels)
    plain = outputs.clone().requires_grad_()
    by_hand(plain, labels).backward()
    assert value.item() == pytest.approx(by_hand(outputs, labels).item(), rel=1e-5)
    assert torch.allclose(given.grad, plain.grad, atol=1e-6)
    assert each.shape == (6,)


def test_batches_share_in_a_mean_by_what_they_hold(case):
    name, (outputs, labels), _ = case
    loss = loss_of(name, labels)
    for weights in (None, torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 0.25])):
        whole = loss(outputs, labels, weights)
        total = amounts = 0
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
            part = None if weights is None else weights[rows]
            amount = loss.amount(labels[rows], part)
            total += loss(outputs[rows], labels[rows], part) * amount
            amounts += amount
        assert (total / amounts).item() == pytest.approx(whole.item(), rel=1e-5)
        assert amounts == pytest.approx(loss.amount(labels, weights))


def test_weights_of_samples_are_weights_of_their_losses(case):
    name, (outputs, labels), _ = case
    loss = loss_of(name, labels)
    weights = torch.tensor([2.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    rows = [0, 0, 1, 3, 5]  # a weight of 2 is a sample that is there twice
    assert loss(outputs, labels, weights).item() == pytest.approx(
        loss(outputs[rows], labels[rows]).item(), rel=1e-5
    )


def test_a_batch_without_a_label_has_no_loss_and_no_gradient():
    outputs, labels = drawn(2, 3, 4).requires_grad_(), torch.full((2, 3), IGNORED)
    for name in ("cross_entropy", LIKELIHOOD):
        loss = loss_of(name, labels)
        value = loss(outputs, labels)
        value.backward()
        assert value.item() == 0
        assert loss.amount(labels) == 0
        assert not outputs.grad.any()


class Positions(nn.Module):
    """A row of outputs for each position."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, inputs):
        return self.layer(inputs)


MODELS = {
    "numbers": lambda: nn.Linear(3, 2),
    "several": lambda: nn.Linear(3, 4),
    "tokens": Positions,
}
DATA = {
    "numbers": ("huber", drawn(6, 3), NUMBERS[1]),
    "several": ("bce", drawn(6, 3), SEVERAL[1]),
    "tokens": ("cross_entropy", drawn(6, 5, 3), TOKENS[1]),
}
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 0.25])


def trainer(form, weights=None, **settings):
    torch.manual_seed(1)
    name, inputs, labels = DATA[form]
    chosen = LocalSettings(
        OPTIMIZERS["SGD"](kind="SGD", lr=0.1), loss=name, shuffle=False, **settings
    )
    model = MODELS[form]()
    return LocalTrainer(model, inputs, labels, Everything(6), Streams(0), chosen, weights=weights)


def objective(local):
    """The mean loss over all samples, at the model as it is."""
    return local.loss(local.model(local.inputs), local.labels, local.weights)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("form", DATA)
def test_a_gradient_task_of_small_batches_is_the_gradient_of_the_whole(as_in_a_run, form, weights):
    local = trainer(form, weights, batch_size=4, gradient=True)
    start = local.layout.read(local.model)
    found = local.train(0, 0, 2, start, start, 1.0)
    local.layout.write(local.model, start)
    value = objective(local)
    wanted = torch.autograd.grad(value, list(local.model.parameters()))
    assert torch.allclose(-found.delta, torch.cat([g.flatten() for g in wanted]), atol=1e-6)
    assert found.loss == pytest.approx(value.item(), rel=1e-5)
    norm = FullGradient(local, Everything(6), 1).squared_norm(start)
    assert norm == pytest.approx(sum((g**2).sum().item() for g in wanted), rel=1e-5)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("form", DATA)
@pytest.mark.parametrize("gradient", [False, True], ids=["steps", "gradient"])
def test_clients_that_train_together_train_as_alone(as_in_a_run, form, weights, gradient):
    local = trainer(form, weights, batch_size=4, gradient=gradient)
    start = local.layout.read(local.model)
    alone = [local.train(0, 0, steps, start, start, 1.0) for steps in (4, 3)]
    tasks = [LocalTask(0, 0, steps, start, start) for steps in (4, 3)]
    together = BatchedTrainer(local).train(tasks, 1.0)
    for one, other in zip(alone, together, strict=True):
        assert torch.allclose(one.delta, other.delta, atol=1e-5)
        assert one.loss == pytest.approx(other.loss, rel=1e-5)


@pytest.mark.parametrize("form", DATA)
def test_an_evaluation_does_not_depend_on_its_batches(as_in_a_run, form, monkeypatch):
    local = trainer(form)
    vector = local.layout.read(local.model)
    found = []
    for size in (1, 4, 1000):
        monkeypatch.setattr("afl_sim.learning.training.evaluation.EVALUATION_BATCH", size)
        name, inputs, labels = DATA[form]
        made = Evaluator(local, inputs, labels, 4, name)
        found.append(made.evaluate(vector).loss)
    assert found == pytest.approx([objective(local).item()] * 3, rel=1e-5)


def mean(outputs, labels):
    return ((outputs - labels) ** 2).mean()


def detached(outputs, labels):
    return torch.from_numpy(np.square(outputs.detach().numpy() - labels.numpy()).mean(1))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (mean, r"training\.loss: .*:mean returns a tensor of \(\) for 6 samples; expected float32"),
        (detached, r"training\.loss: the result of .*:detached does not depend on the outputs"),
        (lambda outputs, labels: 1.0, "returns a float"),
        (lambda outputs, labels: (outputs - labels).double().mean(1), "a tensor of torch.float64"),
    ],
    ids=["a mean", "no gradient", "no tensor", "no float32"],
)
def test_a_loss_of_ones_own_gives_a_loss_for_each_sample(function, says):
    with pytest.raises(TaskError, match=says):
        try_loss(LOSS_RULES.rule_of(function), *NUMBERS)
