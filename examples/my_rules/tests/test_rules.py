"""The checks that every rule of afl_sim passes, and cases worked out by hand."""

import math

import numpy as np
import pytest
import torch
from my_rules.attack import Drift
from my_rules.compressor import HalfPrecision
from my_rules.loss import Smoothed
from my_rules.metric import confident
from my_rules.selection import rested
from my_rules.weight import Exponential

from afl_sim import Candidates
from afl_sim.testing import RULE_CHECKS, rule_of

RULES = [
    rule_of("selection", "my_rules.selection:rested", greed=0.5),
    Exponential(rate=0.1),
    Drift(share=0.3),
    HalfPrecision(error_feedback=True),
    rule_of("metric", "my_rules.metric:confident", margin=0.5),
    Smoothed(share=0.2),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
@pytest.mark.parametrize("check", RULE_CHECKS)
def test_it_conforms(check, rule):
    RULE_CHECKS[check](rule)


def test_the_rested_come_first_and_then_those_with_many_samples():
    candidates = Candidates.of([4, 6, 9], chosen=[2, 0, 0], samples=[10, 10, 30])
    assert rested(2, candidates, np.random.default_rng(0)).tolist() == [9, 6]


def test_the_weight_falls_exponentially():
    assert Exponential(rate=0.5)(2) == pytest.approx(0.36788, abs=1e-5)


def test_the_drift_has_the_signs_of_the_model():
    sent = Drift(share=0.5, strength=1.0).attack(torch.zeros(3), torch.tensor([2.0, 0, -3]), None)
    assert sent.tolist() == [1, 0, -1]


def test_half_precision_keeps_eleven_bits_of_any_scale():
    vector = torch.tensor([3e-9, 1e-9, -2e-9])
    rounded = HalfPrecision().compress(vector, None)
    torch.testing.assert_close(rounded, vector, rtol=2.0**-11, atol=0)
    assert HalfPrecision().size(100) == 204


def test_confident_answers_are_right_and_lead_by_the_margin():
    outputs = np.array([[3.0, 1, 0], [3, 2.5, 0], [0, 3, 0]], np.float32)
    assert confident(outputs, np.array([0, 0, 2]), margin=1.0) == pytest.approx(1 / 3)
    assert confident(outputs, np.array([0, 0, 2]), margin=0.5) == pytest.approx(2 / 3)


def test_the_smoothed_loss_is_between_the_label_and_all_classes():
    outputs = torch.tensor([[math.log(2.0), 0.0]])  # probabilities of 2/3 and 1/3
    loss = Smoothed(share=0.5)(outputs, torch.tensor([0]))
    assert loss.tolist() == pytest.approx([-0.75 * math.log(2 / 3) - 0.25 * math.log(1 / 3)])
