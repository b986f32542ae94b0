"""The flat vector: parameters first, floating buffers behind them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS
from afl_sim.learning.models.parameters import ParameterVector, initial_vector


def with_buffers() -> nn.Module:
    """Buffers stand between two layers of parameters, and one of them counts in integers."""
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def test_parameters_come_in_the_models_order_and_buffers_behind_them() -> None:
    layout = ParameterVector(with_buffers())
    assert layout.names == (
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "2.weight",
        "2.bias",
        "1.running_mean",
        "1.running_var",
    )
    assert layout.num_parameters == 6 + 3 + 3 + 3 + 6 + 2
    assert layout.size == layout.num_parameters + 3 + 3


def test_integer_buffers_do_not_travel() -> None:
    model = with_buffers()
    layout = ParameterVector(model)
    vector = layout.read(model)
    counter = model[1].num_batches_tracked
    counter.fill_(5)
    layout.write(model, vector)
    assert int(counter) == 5


def test_non_persistent_buffers_do_not_travel() -> None:
    model = with_buffers()
    model[2].register_buffer("cache", torch.ones(100_000), persistent=False)
    layout = ParameterVector(model)
    assert layout.names == ParameterVector(with_buffers()).names
    assert layout.size == ParameterVector(with_buffers()).size
    vector = layout.read(model) + 1
    layout.write(model, vector)
    assert torch.equal(layout.read(model), vector)
    assert bool((model[2].cache == 1).all())


def test_a_buffer_that_is_saved_under_one_of_its_names_travels() -> None:
    model = with_buffers()
    model[0].register_buffer("mean", model[1].running_mean, persistent=False)
    assert ParameterVector(model).names == ParameterVector(with_buffers()).names


def test_reading_gives_the_elements_in_order() -> None:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2], [3, 4]]))
        model.bias.copy_(torch.tensor([5.0, 6]))
    assert ParameterVector(model).read(model).tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("channels_last", [False, True])
def test_what_was_written_is_read_back(channels_last: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    layout = ParameterVector(model)
    vector = torch.arange(layout.size, dtype=torch.float32)
    layout.write(model, vector)
    assert torch.equal(layout.read(model), vector)
    # Elements are in the model's logical order, however its memory lies.
    assert model[0].weight[0, 0, 0].tolist() == [0, 1, 2]
    assert model[0].weight[0, 1, 0, 0] == 9


def test_a_vector_means_the_same_in_another_copy_of_the_model() -> None:
    images = torch.randn(3, 1, 28, 28)
    one, other = (MODELS["lenet"]().build(SampleForm((1, 28, 28), 10)) for _ in range(2))
    layout = ParameterVector(one)
    layout.write(other, layout.read(one))
    assert torch.equal(one(images), other(images))


def test_reading_copies() -> None:
    model = nn.Linear(2, 2)
    layout = ParameterVector(model)
    vector = layout.read(model)
    before = vector.clone()
    with torch.no_grad():
        model.weight.zero_()
    assert torch.equal(vector, before)
    assert not vector.requires_grad


def test_writing_copies() -> None:
    model = nn.Linear(2, 2)
    layout = ParameterVector(model)
    vector = torch.arange(6, dtype=torch.float32)
    layout.write(model, vector)
    vector.zero_()
    assert layout.read(model).tolist() == [0, 1, 2, 3, 4, 5]
    with torch.no_grad():
        model.weight.fill_(9)
    assert not vector.any()


def test_the_named_parts_are_those_of_the_state_dict() -> None:
    model = with_buffers()
    layout = ParameterVector(model)
    named = layout.named(layout.read(model))
    state = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
    assert named.keys() == state.keys()
    assert all(torch.equal(named[name], state[name]) for name in named)


def test_shared_weights_travel_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    layout = ParameterVector(model)
    assert layout.size == 4
    layout.write(model, torch.tensor([1.0, 2, 3, 4]))
    assert model[1].weight.tolist() == [[1, 2], [3, 4]]


def test_the_initial_vector_is_the_models() -> None:
    model = with_buffers()
    layout = ParameterVector(model)
    assert torch.equal(initial_vector(model, layout), layout.read(model))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_parameters_of_another_type_are_refused_by_name(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2).to(dtype))
    with pytest.raises(ScenarioError, match=r"1\.weight.*expected float32"):
        initial_vector(model, ParameterVector(model))


def test_the_vector_is_float32_whatever_a_buffer_is() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("scale", torch.tensor([0.5, 2.0], dtype=torch.float64))
    layout = ParameterVector(model)
    vector = initial_vector(model, layout)
    assert vector.dtype == torch.float32
    layout.write(model, vector * 2)
    assert model.scale.tolist() == [1.0, 4.0]
    assert model.scale.dtype == torch.float64


def test_a_vector_of_the_wrong_length_is_refused() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(RuntimeError):
        ParameterVector(model).write(model, torch.zeros(7))
