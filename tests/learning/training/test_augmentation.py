"""Random changes of mini-batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from places import ROOT
from pydantic import TypeAdapter

from afl_sim import load_scenario, simulate
from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.training.augmentation import Augmentation, Spec, check_augmentation
from afl_sim.run.api import read_study
from afl_sim.scenario.sections.augmentation import Augmentation as Block

IMAGES = SampleForm((3, 5, 7), 10)
SMALL = ["clients.count=6", "stop.updates=6", "evaluation.samples=50"]
SMALL += ["data.partition={kind: iid, samples: 20}", "training.batch_size=8"]


def specs(*blocks: Any) -> Sequence[Spec]:
    return [TypeAdapter(Block).validate_python(block) for block in blocks]


def changed(images: torch.Tensor, *blocks: Any, seed: int = 1) -> torch.Tensor:
    before = images.clone()
    result = Augmentation(specs(*blocks))(images, np.random.default_rng(seed))
    assert torch.equal(images, before)
    assert result.shape == images.shape
    return result


def numbered(samples: int = 200) -> torch.Tensor:
    count = samples * 3 * 5 * 7
    return torch.arange(1, count + 1, dtype=torch.float32).reshape(samples, 3, 5, 7)


@pytest.mark.parametrize(("kind", "axis"), [("horizontal_flip", 3), ("vertical_flip", 2)])
def test_each_image_is_mirrored_or_not(kind: str, axis: int) -> None:
    images = numbered()
    result = changed(images, {"kind": kind, "p": 0.25})
    mirrored = [torch.equal(one, two) for one, two in zip(result, images.flip(axis), strict=True)]
    kept = [torch.equal(one, two) for one, two in zip(result, images, strict=True)]
    assert all(one != two for one, two in zip(mirrored, kept, strict=True))
    assert 30 < sum(mirrored) < 70
    assert torch.equal(changed(images, {"kind": kind, "p": 1}), images.flip(axis))
    assert torch.equal(changed(images, {"kind": kind, "p": 0}), images)


@pytest.mark.parametrize("border", ["constant", "edge", "reflect"])
def test_each_image_is_moved_by_up_to_the_padding(border: str) -> None:
    images = numbered()
    result = changed(images, {"kind": "random_crop", "padding": 2, "border": border})
    modes = {"constant": "constant", "edge": "edge", "reflect": "reflect"}
    places = set()
    for one, image in zip(result.numpy(), images.numpy(), strict=True):
        wide = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode=modes[border])  # type: ignore[call-overload]
        found = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if np.array_equal(wide[:, row : row + 5, column : column + 7], one)
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) == 25


def test_a_transform_of_torchvision_changes_each_image_on_its_own() -> None:
    images = torch.ones(40, 3, 8, 8)
    block = {"kind": "RandomErasing", "p": 1.0, "scale": [0.1, 0.2]}
    result = changed(images, block)
    erased = {tuple(np.argwhere(one[0].numpy() == 0)[0]) for one in result}
    assert len(erased) > 10
    state = torch.get_rng_state()
    assert torch.equal(changed(images, block), result)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(changed(images, block, seed=2), result)


@pytest.mark.parametrize(
    ("block", "form", "message"),
    [
        ("horizontal_flip", SampleForm((4,), 3), "only images can be changed, but .* 4 numbers"),
        ("RandomErase", IMAGES, r"augment.0.kind: torchvision.* no RandomErase.*RandomErasing"),
        ({"kind": "RandomErasing", "q": 1}, IMAGES, "augment.0: RandomErasing refuses its setti"),
        ({"kind": "Resize", "size": [4, 4]}, IMAGES, "Resize makes 3x4x4 images of .*3x5x7 image"),
        ({"kind": "random_crop", "padding": 9, "border": "reflect"}, IMAGES, "random_crop fails"),
    ],
)
def test_a_change_that_does_not_suit_the_samples_is_refused(
    block: Any, form: SampleForm, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        check_augmentation(specs(block), form)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.augment=[random_corp]"], r"class of torchvision.*did you mean .random_crop"),
        (
            ["training.augment=[horizontal_flip]", "numerics.mode=batched"],
            "training.augment: tasks that are trained together cannot change their images",
        ),
        (
            ["training.augment=[{kind: RandomErasing}]", "numerics.bits=portable"],
            "got 'portable', but training.augment: RandomErasing has no portable arithmetic; exp",
        ),
    ],
)
def test_what_cannot_be_combined_is_said_before_the_run(settings: list[str], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        read_study(ROOT / "scenarios" / "smallest.yaml", settings)


def digest(*settings: str) -> tuple[str, str]:
    scenario = load_scenario(ROOT / "scenarios" / "smallest.yaml", [*SMALL, *settings])
    summary = simulate(scenario).summary
    return summary["model_digest"], summary["numerics"]["bits"]


@pytest.mark.parametrize(
    ("augment", "bits"),
    [("[random_crop, horizontal_flip]", "portable"), ("[{kind: RandomErasing, p: 1}]", "native")],
)
def test_a_run_is_the_same_with_workers_and_other_than_without_changes(
    augment: str, bits: str
) -> None:
    setting = f"training.augment={augment}"
    alone = digest(setting)
    assert alone[1] == bits
    assert alone == digest(setting, "execution={executor: processes, workers: 2}")
    assert alone[0] != digest(f"numerics.bits={bits}")[0]


def test_gradient_methods_change_their_images_too() -> None:
    ringleader = "strategy={kind: ringleader}"
    assert digest(ringleader) != digest(ringleader, "training.augment=[vertical_flip]")
