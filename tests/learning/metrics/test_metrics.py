"""Metrics against the values of scikit-learn 1.9.1 for the same numbers, and against hands."""

import math

import numpy as np
import pytest

from afl_sim.errors import TaskError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.metrics.chosen import Measured, chosen_metrics, makers_of
from afl_sim.scenario.sections.evaluation import Evaluation
from afl_sim.scenario.sections.metrics import METRIC_RULES, METRICS

CLASSES = SampleForm((1,), 7)
NUMBERS = SampleForm((1,), 3, "number")
SEVERAL = SampleForm((1,), 4, "several")


def outputs(samples, count):
    numbers = 2 * np.sin(np.arange(samples * count, dtype=np.float64) ** 1.5)
    return numbers.astype(np.float32).reshape(samples, count)


LOGITS = outputs(200, 7)
SOME_CLASSES = np.arange(200) ** 2 % 7  # 0, 1, 2 and 4; nobody has 3, 5 and 6
ALL_CLASSES = np.arange(200) * 3 % 7
PREDICTED = outputs(150, 3)
MEASURED = (np.roll(PREDICTED, 5, axis=0) * 0.5 + 0.25).astype(np.float32)
FOUR = outputs(150, 4)
TRUE = (np.roll(FOUR, 7) + FOUR > 0.3).astype(np.float32)


def values(names, form, given, labels, batch=1000):
    measured = Measured.by(makers_of(names, form))
    for begin in range(0, len(labels), batch):
        measured.add(given[begin : begin + batch], labels[begin : begin + batch])
    return measured.values()


def fitting(form):
    return [name for name, info in METRICS.items() if form.target in info.fits]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            SOME_CLASSES,
            {
                "accuracy": 0.165,
                "top5": 0.655,
                "f1_macro": 0.20229991815237894,
                "balanced_accuracy": 0.17437991530550512,
                "perplexity": 15.74850765730268,
                "auc": 0.4916846110131047,
            },
        ),
        (
            ALL_CLASSES,
            {
                "accuracy": 0.15,
                "top5": 0.685,
                "f1_macro": 0.1498760439664006,
                "balanced_accuracy": 0.1497185080928923,
                "perplexity": 14.46088190380602,
                "auc": 0.4992314530167784,
            },
        ),
    ],
    ids=["absent classes", "all classes"],
)
def test_metrics_of_classes_are_those_of_scikit_learn(labels, expected):
    assert values(list(expected), CLASSES, LOGITS, labels) == pytest.approx(expected, rel=1e-12)


def test_metrics_of_numbers_are_those_of_scikit_learn():
    expected = {"mae": 1.415418028831482, "rmse": 1.6388169527053833, "r2": -4.136589050292969}
    found = values(list(expected), NUMBERS, PREDICTED, MEASURED)
    assert found == pytest.approx(expected, rel=1e-6)  # scikit-learn's are in float32


def test_metrics_of_several_labels_are_those_of_scikit_learn():
    expected = {
        "accuracy": 0.7466666666666666,
        "f1_macro": 0.7425271919220309,
        "auc": 0.8312222668295465,
    }
    assert values(list(expected), SEVERAL, FOUR, TRUE) == pytest.approx(expected, rel=1e-12)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy_by_bins():
    # Confidences .9 (right), .9 (wrong) and .6 (right), in two of the 15 bins.
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])).astype(np.float32)
    found = values(["ece"], SampleForm((1,), 2), logits, np.array([0, 1, 1]))
    assert found["ece"] == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6)) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "given", "labels"),
    [
        (CLASSES, LOGITS, SOME_CLASSES),
        (NUMBERS, PREDICTED, MEASURED),
        (SEVERAL, FOUR, TRUE),
    ],
    ids=["classes", "numbers", "several"],
)
def test_no_bit_of_a_metric_depends_on_the_batches(form, given, labels):
    at_once = values(fitting(form), form, given, labels)
    assert len(at_once) >= 3
    for batch in (1, 7, 64):
        assert values(fitting(form), form, given, labels, batch) == at_once


def test_a_class_that_nobody_has_changes_no_mean_of_classes():
    rows = SOME_CLASSES != 4
    there = values(
        ["f1_macro", "balanced_accuracy", "auc"], CLASSES, LOGITS[rows], SOME_CLASSES[rows]
    )
    more = SampleForm((1,), 9)
    padded = np.pad(LOGITS[rows], ((0, 0), (0, 2)), constant_values=-1000)
    assert values(list(there), more, padded, SOME_CLASSES[rows]) == pytest.approx(there)


def test_what_is_not_defined_is_no_number():
    one = np.zeros(5, dtype=np.int64)
    assert math.isnan(values(["auc"], CLASSES, LOGITS[:5], one)["auc"])
    constant = np.ones((5, 3), dtype=np.float32)
    assert math.isnan(values(["r2"], NUMBERS, PREDICTED[:5], constant)["r2"])
    nothing = values(fitting(CLASSES), CLASSES, LOGITS[:0], SOME_CLASSES[:0])
    assert all(map(math.isnan, nothing.values()))


def test_equal_outputs_count_in_the_order_of_the_classes():
    equal = np.zeros((7, 7), dtype=np.float32)
    found = values(["accuracy", "top5"], CLASSES, equal, np.arange(7))
    assert found == {"accuracy": 1 / 7, "top5": 5 / 7}


def test_a_model_may_have_more_outputs_than_there_are_classes():
    form = SampleForm((1,), 4)
    names = fitting(form)
    found = values(names, form, LOGITS, SOME_CLASSES % 4)
    assert all(found[name] >= 0 for name in names)


def within(outputs, labels, *, limit: float = 1.0):
    return (np.abs(outputs - labels) < limit).mean()


def writes(outputs, labels):
    outputs[0] = 0.0


def test_a_metric_of_ones_own_sees_all_samples_at_once_and_cannot_write():
    mine = METRIC_RULES.rule_of(within, limit=0.5, name="near")
    for batch in (11, 1000):
        found = values([mine], NUMBERS, PREDICTED, MEASURED, batch)
        assert found == {"near": (np.abs(PREDICTED - MEASURED) < 0.5).mean()}
    with pytest.raises(ValueError, match="read-only"):
        values([METRIC_RULES.rule_of(writes)], NUMBERS, PREDICTED, MEASURED)


@pytest.mark.parametrize("value", ["0.5", None, np.zeros(2), [1]])
def test_a_metric_of_ones_own_gives_a_number(value):
    def answer(outputs, labels):
        return value

    with pytest.raises(TaskError, match=r"evaluation\.metrics: .*returns a .*; expected a number"):
        values([METRIC_RULES.rule_of(answer)], NUMBERS, PREDICTED, MEASURED)


def test_metrics_follow_from_the_form_of_the_labels_unless_they_are_named():
    assert chosen_metrics(Evaluation(), CLASSES) == ("accuracy",)
    assert chosen_metrics(Evaluation(), NUMBERS) == ("rmse", "mae", "r2")
    assert chosen_metrics(Evaluation(metrics=["auc"]), CLASSES) == ("auc", "accuracy")
    assert chosen_metrics(Evaluation(metrics=["auc"]), SEVERAL) == ("auc",)
