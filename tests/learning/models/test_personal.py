"""Which entries of a model's vector are personal, and both parts put together again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.models.personal import PersonalParts, personal_parts


class Normed(nn.Module):
    """Two linear layers with a normalization between them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.body(inputs.flatten(1))))


def made(*patterns: str) -> tuple[ParameterVector, PersonalParts]:
    model = Normed()
    layout = ParameterVector(model)
    parts = personal_parts(model, layout, patterns)
    assert parts is not None
    return layout, parts


@pytest.mark.parametrize("patterns", [["head.*"], ["norm.*"], ["body.bias", "norm.running_var"]])
def test_splitting_and_joining_undo_each_other(patterns: list[str]) -> None:
    layout, parts = made(*patterns)
    whole = torch.arange(layout.size, dtype=torch.float32)
    shared, personal = parts.split(whole)
    assert (len(shared), len(personal)) == (parts.shared.size, parts.personal.size)
    assert torch.equal(parts.join(shared, personal), whole)
    params = whole[: layout.num_parameters]
    assert torch.equal(parts.split(params)[0], shared[: parts.shared.num_parameters])
    joined = parts.join_parameters(shared[: parts.shared.num_parameters], personal)
    assert torch.equal(joined, params)


def test_parts_have_the_tensors_that_they_name() -> None:
    layout, parts = made("norm.*", "head.bias")
    numbers = torch.arange(layout.size, dtype=torch.float32)
    named = layout.named(numbers)
    shared, personal = parts.split(numbers)
    for part, vector in ((parts.shared, shared), (parts.personal, personal)):
        for name, tensor in part.named(vector).items():
            assert torch.equal(tensor, named[name])
    mine = {"norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "head.bias"}
    assert set(parts.personal.names) == mine
    assert set(parts.shared.names) == {"body.weight", "body.bias", "head.weight"}
    assert parts.shared.size == 12 + 4 + 8


def test_without_buffers_to_share_the_shared_vector_is_of_parameters_alone() -> None:
    layout, parts = made("norm.*")
    assert parts.shared.size == parts.shared.num_parameters < layout.num_parameters


def test_a_pattern_that_matches_any_name_of_a_tied_parameter_finds_it() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    parts = personal_parts(model, ParameterVector(model), ["1.weight"])
    assert parts is not None
    assert parts.personal.names == ("0.weight",)


def test_a_pattern_without_a_match_gets_the_nearest_name() -> None:
    with pytest.raises(ScenarioError, match=r"'haed.\*' matches no .*did you mean 'head.\*'\?"):
        made("haed.*")


def test_something_that_is_trained_has_to_be_sent() -> None:
    with pytest.raises(ScenarioError, match="nothing would be sent; expected"):
        made("*")
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    with pytest.raises(ScenarioError, match="nothing would be sent"):
        personal_parts(model, ParameterVector(model), ["1.*"])
