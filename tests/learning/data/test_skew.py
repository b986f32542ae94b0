"""Samples that look different to each client."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from places import ROOT

from afl_sim import load_scenario, simulate
from afl_sim.errors import ScenarioError
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.data.skew import concept_of, rotated, sine_and_cosine, skewed
from afl_sim.run.api import read_study
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.skew import ConceptShift
from afl_sim.streams import Streams

pytestmark = pytest.mark.filterwarnings("error")
HELD = [np.array([4, 0]), np.array([1, 2]), np.array([5])]  # sample 3 belongs to nobody
for _held in HELD:
    _held.setflags(write=False)  # as those of a partition


def dataset(shape: tuple[int, ...] = (1, 5, 5), form: SampleForm | None = None) -> Dataset:
    inputs = torch.arange(6 * math.prod(shape), dtype=torch.float32).reshape(6, *shape)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    return Dataset(
        "mine",
        inputs,
        labels,
        inputs[:0],
        labels[:0],
        inputs[:2],
        labels[:2],
        form or SampleForm(shape, 3),
    )


def seen(data: Dataset, seed: int = 1, **words: Any) -> Dataset:
    spec = DataSpec.model_validate(words)
    return skewed(data, spec, lambda client: HELD[client], len(HELD), Streams(seed))


def test_the_samples_of_clients_may_be_read_only_without_a_warning() -> None:
    # PyTorch warns only once in a process by default, so another test could hide the warning.
    torch.set_warn_always(True)
    try:
        seen(dataset(), skew={"noise": 1.0})
        seen(dataset(), concept_shift={"groups": 3})
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 133.7, 180, 269, 270, 359.5])
def test_sine_and_cosine_are_those_of_the_system(degrees: float) -> None:
    expected = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    assert sine_and_cosine(degrees) == pytest.approx(expected, abs=1e-15)


def test_quarter_turns_are_exact() -> None:
    images = np.random.default_rng(1).normal(size=(3, 2, 7, 7)).astype(np.float32)
    for quarters in range(4):
        expected = np.rot90(images, quarters, axes=(2, 3))
        assert np.array_equal(rotated(images, 90.0 * quarters), expected)


def test_an_image_is_turned_about_its_centre_with_the_border_repeated() -> None:
    image = np.zeros((1, 1, 5, 5), np.float32)
    image[0, 0, 2, 4] = 1  # to the right of the centre, at the border
    turned = rotated(image, 45)[0, 0]
    assert turned[2, 4] == 0
    assert turned[1, 3] > 0.3  # above and to the right
    assert np.array_equal(
        rotated(np.full((1, 1, 4, 6), 3, np.float32), 17.0)[0, 0], np.full((4, 6), 3)
    )


def test_every_client_sees_its_own_inputs_and_nobody_elses_change() -> None:
    data = dataset()
    changed = seen(data, skew={"scale": {"values": [2, 1, 3]}, "rotate": {"values": [0, 90, 0]}})
    assert isinstance(changed.inputs, torch.Tensor)
    assert isinstance(data.inputs, torch.Tensor)
    assert torch.equal(changed.inputs[[4, 0]], 2 * data.inputs[[4, 0]])
    assert torch.equal(changed.inputs[[1, 2]], torch.rot90(data.inputs[[1, 2]], 1, (2, 3)))
    assert torch.equal(changed.inputs[5], 3 * data.inputs[5])
    assert torch.equal(changed.inputs[3], data.inputs[3])
    assert changed.test_inputs is data.test_inputs


def test_angles_below_0_turn_clockwise() -> None:
    data = dataset()
    back = seen(data, skew={"rotate": {"values": [-90, 0, 0]}})
    forth = seen(data, skew={"rotate": {"values": [270, 0, 0]}})
    assert torch.equal(back.inputs, forth.inputs)  # type: ignore[arg-type]
    assert torch.equal(back.inputs[[4, 0]], torch.rot90(data.inputs[[4, 0]], -1, (2, 3)))
    either = {"rotate": {"dist": "uniform", "loc": -30, "scale": 60}}
    assert not torch.equal(seen(data, skew=either).inputs, data.inputs)  # type: ignore[arg-type]


def test_noise_is_drawn_once_for_each_client() -> None:
    data = dataset((40, 25), SampleForm((40, 25), 3))
    first, again = (seen(data, skew={"noise": {"values": [0.5, 0, 2]}}) for _ in range(2))
    assert torch.equal(first.inputs, again.inputs)  # type: ignore[arg-type]
    added = (first.inputs - data.inputs).numpy()  # type: ignore[operator]
    assert added[[4, 0]].std() == pytest.approx(0.5, rel=0.1)
    assert added[5].std() == pytest.approx(2, rel=0.1)
    assert not added[[1, 2, 3]].any()
    other = seen(data, seed=2, skew={"noise": 1.0})
    assert not torch.equal(other.inputs, first.inputs)  # type: ignore[arg-type]


def test_labels_are_permuted_group_by_group() -> None:
    data = dataset()
    shift = ConceptShift(groups=3)
    for seed in range(20):
        changed = seen(data, seed=seed, concept_shift={"groups": 3})
        streams = Streams(seed)
        for client, rows in enumerate(HELD):
            group = concept_of(shift, client, streams)
            order = streams.generator("concept.labels", group).permutation(3)
            own = data.labels[rows.tolist()].numpy()
            expected = order[own] if group else own
            assert changed.labels.numpy()[rows].tolist() == expected.tolist()
        assert changed.labels[3] == data.labels[3]
    groups = [concept_of(shift, client, Streams(1)) for client in range(3000)]
    assert np.bincount(groups) == pytest.approx([1000] * 3, abs=90)


@pytest.mark.parametrize(
    ("form", "words", "message"),
    [
        (SampleForm((4,), 3), {"skew": {"rotate": 90}}, "only images can be turned, but .* 4 numb"),
        (SampleForm((4,), 3, vocabulary=9), {"skew": {"scale": 2}}, "the inputs are tokens"),
        (
            SampleForm((4,), 1, "number"),
            {"concept_shift": {"groups": 2}},
            "but the labels are numbers",
        ),
    ],
)
def test_samples_that_cannot_look_different_are_refused(
    form: SampleForm, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        seen(dataset(form.input_shape, form), **words)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.skew={scale: 1}", "data.skew: changes nothing; expected rotate, scale or noise"),
        ("data.concept_shift={groups: 1}", "data.concept_shift.groups: "),
        ("data.skew={noise: {values: [1, 2]}}", "has values for 2 clients"),
        (
            "data={skew: {noise: 1}, partition: {kind: shared}}",
            "data.skew: a sample would have to look different",
        ),
        ("data={skew: {noise: 1}, storage: uint8}", "data.storage: inputs that differ between"),
    ],
)
def test_a_skew_that_cannot_be_is_refused_before_the_run(setting: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        read_study(ROOT / "scenarios" / "smallest.yaml", [setting])


def test_a_run_with_skewed_clients_is_the_same_with_workers() -> None:
    settings = ["clients.count=6", "stop.updates=6", "evaluation.samples=null"]
    settings += ["data.partition={kind: iid, samples: 30}", "data.client_test=0.2"]
    settings += ["data.validation=0.1", "evaluation.on=client_test", "model=logistic"]
    settings += ["data.skew={rotate: {dist: uniform, loc: 0, scale: 360}, noise: 0.1}"]
    settings += ["data.concept_shift={groups: 2}"]

    def digest(*more: str) -> tuple[str, Any]:
        summary = simulate(
            load_scenario(ROOT / "scenarios/smallest.yaml", [*settings, *more])
        ).summary
        return summary["model_digest"], summary["final"]

    alone = digest()
    assert alone == digest("execution={executor: processes, workers: 2}")
    assert alone != digest("data.skew=null")
    assert alone != digest("data.concept_shift=null")
