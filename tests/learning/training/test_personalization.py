"""Personalised training against the papers' algorithms, by hand, on a model of two scalars."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_training import CLASSES, Held, data, sgd
from torch import Tensor, nn
from two_scalars import BODY, HEAD, LR, SAMPLES, gradients, local, parts_of, rounds

from afl_sim.learning.models.personal import PersonalParts
from afl_sim.learning.training.chain_training import ChainTrainer
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.learning.training.personal_evaluation import Tuner
from afl_sim.learning.training.personalization import Local, Personalization
from afl_sim.learning.training.phase import Phase
from afl_sim.learning.training.trainers import trainer_of
from afl_sim.portable.block import arithmetic_of
from afl_sim.scenario.sections.personalization import Ditto, FedRep, FineTuning
from afl_sim.streams import Streams

STEPS = 2


def mean(values: list[float]) -> float:
    """FedAvg's: clients count by their samples."""
    return sum(n * value for n, value in zip(SAMPLES, values, strict=True)) / sum(SAMPLES)


def fedper_by_hand(count: int) -> tuple[float, list[float]]:
    """Arivazhagan et al. (2019), Algorithm 1: both parts move together, only the base is sent."""
    w, heads = BODY, [HEAD, HEAD]
    for _ in range(count):
        bodies = []
        for client in (0, 1):
            body, head = w, heads[client]
            for _ in range(STEPS):
                of_body, of_head = gradients(client, body, head)
                body, head = body - LR * of_body, head - LR * of_head
            bodies.append(body)
            heads[client] = head
        w = mean(bodies)
    return w, heads


def start(trained: LocalTrainer) -> tuple[Tensor, Personalization]:
    parts = parts_of(trained)
    shared, head = parts.split(trained.layout.read(trained.model))
    return shared, Personalization(parts, head)


def test_fedper_is_the_algorithm_of_its_paper() -> None:
    trained = local()
    vector, kept = rounds(trained, *start(trained), 1, count=2, steps=STEPS)
    w, heads = fedper_by_hand(2)
    assert vector.tolist() == pytest.approx([w], rel=1e-5)
    assert [kept[client].item() for client in (0, 1)] == pytest.approx(heads, rel=1e-5)
    assert abs(heads[0] - heads[1]) > 0.1  # so it is not the one head that averaging would give


def one_task(trained: LocalTrainer, **more: Any) -> tuple[float, float]:
    """Body and head after a task of client 0 that begins elsewhere than at the global model."""
    shared, personalization = start(trained)
    begun = Local(0, 0, 1, shared + 1, shared, 1.0, **more)
    result, kept = personalization.train(trained, begun, torch.tensor([0.75]))
    assert result.delta.shape == result.vector.shape == (1,)
    assert result.delta.item() == pytest.approx(result.vector.item() - (BODY + 1))
    return result.vector.item(), kept.item()


def test_the_proximal_term_pulls_the_shared_part_alone() -> None:
    of_body, of_head = gradients(0, BODY + 1, 0.75)
    body, head = one_task(local(proximal=0.5))
    assert body == pytest.approx(BODY + 1 - LR * (of_body + 0.5 * 1), rel=1e-5)
    assert head == pytest.approx(0.75 - LR * of_head, rel=1e-5)


def test_a_correction_is_added_to_the_shared_part_alone() -> None:
    of_body, of_head = gradients(0, BODY + 1, 0.75)
    body, head = one_task(local(), correction=torch.tensor([0.3]))
    assert body == pytest.approx(BODY + 1 - LR * (of_body + 0.3), rel=1e-5)
    assert head == pytest.approx(0.75 - LR * of_head, rel=1e-5)


def test_a_task_of_no_steps_changes_nothing() -> None:
    trained = local()
    shared, personalization = start(trained)
    result, kept = personalization.train(
        trained, Local(0, 0, 0, shared, shared, 1.0), torch.tensor([9.0])
    )
    assert (result.vector.tolist(), result.delta.tolist()) == ([BODY], [0.0])
    assert kept.tolist() == [9.0]


# -- phases, in all trainers ----------------------------------------------------------------------


def network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES))


def trainer(portable: bool, **settings: Any) -> LocalTrainer:
    images, labels = data()
    chosen = LocalSettings(batch_size=7, portable=portable, **settings)
    with arithmetic_of(portable):
        made = trainer_of(network(), images, labels, Held(), Streams(3), chosen)
    assert isinstance(made, ChainTrainer) == portable
    return made


def trained(made: LocalTrainer, portable: bool, phase: Phase, steps: int = 4) -> Tensor:
    begin = made.layout.read(network())
    with arithmetic_of(portable):
        result = made.train(
            0, 0, steps, begin, begin[: made.layout.num_parameters] + 1, 1.0, None, phase
        )
    return result.vector


BODY_ONLY = (True, True, False, False)
OPTIMIZER_BLOCKS = {
    "sgd": sgd(0.1),
    "momentum": sgd(0.1, momentum=0.9, weight_decay=0.1),
    "adam": OPTIMIZERS["Adam"](lr=0.01, weight_decay=0.1),
    "adafactor": OPTIMIZERS["Adafactor"](lr=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZER_BLOCKS.values(), ids=OPTIMIZER_BLOCKS)
@pytest.mark.parametrize("flags", [BODY_ONLY, tuple(not each for each in BODY_ONLY)])
def test_a_phase_moves_the_chosen_parameters_and_no_other_bit(
    optimizer: Any, flags: tuple[bool, ...]
) -> None:
    phase = Phase("personal", trained=flags)
    settings = {"optimizer": optimizer, "clip_norm": 0.5, "gradient_noise": 0.01}
    ends = []
    for portable in (False, True):
        made = trainer(portable, **settings)
        before, after = made.layout.read(network()), trained(made, portable, phase)
        for chosen, old, new in zip(
            flags, before.split(made.layout.sizes), after.split(made.layout.sizes), strict=True
        ):
            assert torch.equal(old, new) != chosen
        ends.append(after)
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


def test_clipping_counts_only_the_gradients_of_what_is_trained() -> None:
    for portable in (False, True):
        clipped = trainer(portable, optimizer=sgd(1.0), clip_norm=0.05)
        begin = clipped.layout.read(network())
        moved = trained(clipped, portable, Phase(trained=BODY_ONLY), steps=1) - begin
        assert float(moved.norm()) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("portable", [False, True])
def test_a_phase_may_pull_some_parameters_with_a_weight_of_its_own(portable: bool) -> None:
    made = trainer(portable, optimizer=sgd(0.1))
    plain = trained(made, portable, Phase(), steps=1)
    pulled = trained(made, portable, Phase(proximal=0.5, pulled=BODY_ONLY), steps=1)
    moved = (pulled - plain).split(made.layout.sizes)
    # The anchor is 1 above the start, so the pull is up by 0.1 * 0.5.
    for chosen, part in zip(BODY_ONLY, moved, strict=True):
        torch.testing.assert_close(part, torch.full_like(part, 0.05 * chosen))


@pytest.mark.parametrize("portable", [False, True])
def test_a_phase_draws_from_streams_of_its_own(portable: bool) -> None:
    made = trainer(portable, optimizer=sgd(0.1))
    same = [trained(made, portable, Phase(purpose)) for purpose in ("", "", "personal")]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


# -- fine-tuning ----------------------------------------------------------------------------------


def tuned_head(trained: LocalTrainer, **settings: Any) -> list[float]:
    """Body and head after the fine-tuning of client 1, whose model is (w, h) = (1.5, 0.75)."""
    parts = parts_of(trained) if settings.pop("head_alone", False) else None
    tuner = Tuner(trained, FineTuning(**settings), parts)
    model = torch.tensor([1.5, 0.75])
    found = tuner.tuned(1, 7, model).tolist()
    assert model.tolist() == [1.5, 0.75]
    return found


def test_fine_tuning_is_gradient_descent_on_the_clients_own_samples() -> None:
    w, h = 1.5, 0.75
    for _ in range(2):
        of_w, of_h = gradients(1, w, h)
        w, h = w - 0.05 * of_w, h - 0.05 * of_h
    assert tuned_head(local(proximal=9.0), steps=2, lr=0.05) == pytest.approx([w, h], rel=1e-5)
    assert tuned_head(local(), epochs=2, lr=0.05) == pytest.approx([w, h], rel=1e-5)


def test_fine_tuning_may_change_some_parameters_alone() -> None:
    _, of_h = gradients(1, 1.5, 0.75)
    found = tuned_head(local(), steps=1, head_alone=True)
    assert found == [1.5, pytest.approx(0.75 - LR * of_h, rel=1e-5)]


def test_fine_tuning_draws_by_client_and_version() -> None:
    images, labels = data()
    settings = LocalSettings(sgd(0.1), batch_size=7)
    made = LocalTrainer(network(), images, labels, Held(), Streams(3), settings)
    tuner, model = Tuner(made, FineTuning(steps=2)), made.layout.read(network())
    once = tuner.tuned(0, 4, model)
    assert torch.equal(once, tuner.tuned(0, 4, model))
    assert not torch.equal(once, tuner.tuned(0, 5, model))
    assert not torch.equal(once, tuner.tuned(1, 4, model))


# -- FedRep and Ditto -----------------------------------------------------------------------------

EXTRA = 3


def fedrep_by_hand(count: int) -> tuple[float, list[float]]:
    """Collins et al. (2021), Algorithm 1: tau_h steps of the head, then tau_phi of the body."""
    phi, heads = BODY, [HEAD, HEAD]
    for _ in range(count):
        bodies = []
        for client in (0, 1):
            for _ in range(EXTRA):
                heads[client] -= LR * gradients(client, phi, heads[client])[1]
            body = phi
            for _ in range(STEPS):
                body -= LR * gradients(client, body, heads[client])[0]
            bodies.append(body)
        phi = mean(bodies)
    return phi, heads


def test_fedrep_is_the_algorithm_of_its_paper() -> None:
    trained = local()
    vector, personalization = start(trained)
    personalization = replace(personalization, spec=FedRep(kind="fedrep", steps=EXTRA))
    vector, kept = rounds(trained, vector, personalization, 1, count=2, steps=STEPS, extra=EXTRA)
    phi, heads = fedrep_by_hand(2)
    assert vector.tolist() == pytest.approx([phi], rel=1e-5)
    assert [kept[client].item() for client in (0, 1)] == pytest.approx(heads, rel=1e-5)


def ditto_by_hand(count: int, weight: float) -> tuple[list[float], list[list[float]]]:
    """Li et al. (2021), Algorithm 1 with FedAvg as the solver of the global objective."""
    w, own = [BODY, HEAD], [[BODY, HEAD], [BODY, HEAD]]
    for _ in range(count):
        ends = []
        for client in (0, 1):
            end = list(w)
            for _ in range(STEPS):
                end = [a - LR * g for a, g in zip(end, gradients(client, *end), strict=True)]
            ends.append(end)
            for _ in range(EXTRA):
                v = own[client]
                own[client] = [
                    a - LR * (g + weight * (a - b))
                    for a, g, b in zip(v, gradients(client, *v), w, strict=True)
                ]
        w = [mean([end[i] for end in ends]) for i in (0, 1)]
    return w, own


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_ditto_is_the_algorithm_of_its_paper(weight: float) -> None:
    trained = local()
    initial = trained.layout.read(trained.model)
    spec = Ditto.model_validate({"kind": "ditto", "lambda": weight, "steps": EXTRA})
    made = Personalization(None, initial, spec)
    vector, kept = rounds(trained, initial, made, 2, count=2, steps=STEPS, extra=EXTRA)
    w, own = ditto_by_hand(2, weight)
    assert vector.tolist() == pytest.approx(w, rel=1e-5)
    for client in (0, 1):
        assert kept[client].tolist() == pytest.approx(own[client], rel=1e-5)


def test_a_proximal_term_of_the_update_does_not_pull_dittos_model() -> None:
    trained = local(proximal=5.0)
    shared = trained.layout.read(trained.model)
    spec = Ditto.model_validate({"kind": "ditto", "lambda": 0.0, "steps": 1})
    begun = Local(0, 0, 1, shared, shared, 1.0, torch.tensor([9.0, 9.0]), 1)
    _, kept = Personalization(None, shared, spec).train(trained, begun, torch.tensor([1.5, 0.75]))
    of_w, of_h = gradients(0, 1.5, 0.75)
    assert kept.tolist() == pytest.approx([1.5 - LR * of_w, 0.75 - LR * of_h], rel=1e-5)


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.body(images.flatten(1))))


def test_in_fedrep_the_statistics_of_what_is_fixed_stay_as_they_are() -> None:
    images, labels = data()
    settings = LocalSettings(sgd(0.1), batch_size=7)
    torch.manual_seed(1)
    made = LocalTrainer(Normed(), images, labels, Held(), Streams(3), settings)
    whole = made.layout.read(made.model)
    parts = PersonalParts(made.layout, {"head.weight", "head.bias"})
    shared, head = parts.split(whole)
    personalization = Personalization(parts, head, FedRep(kind="fedrep", steps=2))
    count = parts.shared.num_parameters
    begun = Local(0, 0, 0, shared, shared[:count], 1.0, None, 2)  # cut short after the head
    result, kept = personalization.train(made, begun, head)
    assert torch.equal(result.vector, shared)
    assert not torch.equal(kept, head)
    result, _ = personalization.train(made, replace(begun, steps=2), head)
    assert not torch.equal(result.vector[count:], shared[count:])
