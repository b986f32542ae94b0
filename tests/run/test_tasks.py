"""Runs of other tasks than classification: what is refused, measured, recorded and resumed."""

import json
import sys

import numpy as np
import pytest

from afl_sim import load_run, load_scenario, simulate
from afl_sim.analysis.compared_runs import comparison
from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.recording import first_divergence
from afl_sim.run.api import resume
from afl_sim.run.summary import fairness
from afl_sim.run.task_checks import check_task

CLASSES = SampleForm((1, 28, 28), 10)
NUMBERS = SampleForm((5,), 2, "number")
SEVERAL = SampleForm((5,), 4, "several")
TOKENS = SampleForm((8,), 6, "tokens", vocabulary=6)

OWN = """
import numpy as np

def within(outputs, labels, *, limit: float = 1.0):
    return (np.abs(outputs - labels) < limit).mean()

def spread(outputs, labels):
    return labels.max() - labels[1].min()

def fails(outputs, labels):
    raise RuntimeError("no luck")

def log_cosh(outputs, labels):
    return (outputs - labels).cosh().log().mean(1)

def mean(outputs, labels):
    return ((outputs - labels) ** 2).mean()

calls = []

def counts(outputs, labels):
    calls.append(1)
    return len(calls)

def shifts(outputs, labels):
    labels += 1
    return ((outputs - labels) ** 2).mean(1)
"""

REGRESSION = """
name: regression
data:
  dataset: {{kind: files, train: train.npz, test: test.npz, client: client, weight: weight}}
  partition: {{kind: natural}}
  client_test: 0.2
model: {{kind: mlp, hidden: [8]}}
training: {{batch_size: 10, optimizer: {{kind: SGD, lr: 0.05}}, loss: {loss}}}
clients: {{count: 6, compute: {{seconds_per_sample: 0.01}}}}
strategy: {{kind: fedbuff, concurrency: 3, buffer_size: 3}}
evaluation:
  every_versions: 2
  per_client: true
  metrics: [rmse, mae, r2, "{own}:within"]
  targets: {{rmse: 2.5, within: [0.2, 2]}}
stop: {{updates: 60, metrics: {{rmse: 1.2}}}}
recording: {{trace: true}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression")
    draw = np.random.default_rng(1)
    inputs = draw.normal(size=(240, 5)).astype(np.float32)
    labels = (inputs @ draw.normal(size=(5, 2))).astype(np.float32)
    clients, weights = np.arange(240) % 6, draw.uniform(0.5, 2, 240)
    for name, part in (("train", slice(0, 180)), ("test", slice(180, 240))):
        arrays = {"inputs": inputs, "labels": labels, "client": clients, "weight": weights}
        np.savez(folder / f"{name}.npz", **{key: array[part] for key, array in arrays.items()})
    own = "own_code_for_regression"
    (folder / f"{own}.py").write_text(OWN)
    (folder / "regression.yaml").write_text(REGRESSION.format(loss="huber", own=own))
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def run(folder):
    return simulate(load_scenario(folder / "regression.yaml"), folder / "run")


def test_a_regression_run_records_its_metrics_under_their_names(run):
    assert run.better == {"rmse": "lower", "mae": "lower", "r2": "higher", "within": "higher"}
    assert run.main_metric == "rmse"
    last = run.metrics.iloc[-1]
    final = run.summary["final"]
    assert final == {
        "accuracy": None,
        "loss": last.loss,
        **{name: last[name] for name in run.better},
    }
    assert run.metrics.accuracy.isna().all()
    assert len(run.evaluations) == len(run.metrics) >= 3
    assert last.r2 > 0.4 > run.metrics.r2.iloc[0]


def test_a_run_ends_when_a_metric_reaches_its_value(run):
    assert run.summary["stopped_by"] == "rmse"
    assert run.metrics.rmse.iloc[-1] <= 1.2 < run.metrics.rmse.iloc[-2]


def test_the_time_to_a_target_is_that_of_the_first_evaluation_that_reaches_it(run):
    first = run.metrics[run.metrics.rmse <= 2.5].iloc[0]
    assert run.summary["time_to"]["rmse"] == {"2.5": first.time_us / 1e6}
    assert run.summary["time_to"]["within"]["2"] is None
    assert "time_to_accuracy" not in run.summary


def test_each_client_is_measured_on_its_own_test_samples(run):
    values = run.metrics.client_rmse.iloc[-1]
    assert len(values) == 6
    known = run.summary["fairness"]["rmse"]
    assert known["mean"] == pytest.approx(np.mean(values))
    assert known["worst_decile"] == max(values)
    assert known["variance"] == pytest.approx(np.var(values))
    # Clients have equally many test samples: their squares average to that of all together.
    again = run.metrics.client_mae.iloc[-1]
    assert run.summary["fairness"]["mae"]["mean"] == pytest.approx(np.mean(again))


def test_comparisons_have_the_metrics_in_place_of_accuracy(run):
    frame = comparison([run])
    assert "final_accuracy" not in frame
    assert frame["final_rmse"].iloc[0] == run.summary["final"]["rmse"]
    assert frame["seconds_to_rmse_2.5"].iloc[0] == run.summary["time_to"]["rmse"]["2.5"]
    assert frame["worst_decile_rmse"].iloc[0] == run.summary["fairness"]["rmse"]["worst_decile"]


def test_the_trace_counts_the_main_metric(run):
    events = json.loads((run.path / "trace.json").read_text())["traceEvents"]
    counted = [event["args"]["rmse"] for event in events if event["name"] == "rmse"]
    assert counted == run.metrics.rmse.tolist()


def test_a_regression_run_goes_on_from_a_checkpoint_to_the_same_result(folder, run):
    scenario = load_scenario(folder / "regression.yaml", ["execution.checkpoint_versions=3"])
    seen = []

    def stop(progress):
        seen.append(progress)

    with pytest.raises(KeyboardInterrupt):
        simulate(
            scenario, folder / "broken", progress=stop, stop_wanted=lambda: seen[-1].version >= 5
        )
    assert {each.metric[0] for each in seen if each.metric} == {"rmse"}
    whole = resume(folder / "broken")
    for key in ("schedule_digest", "model_digest", "final", "time_to", "fairness"):
        assert whole.summary[key] == run.summary[key]
    assert first_divergence(whole, run) is None
    again = load_run(folder / "broken")
    assert again.metrics.astype(str).equals(run.metrics.astype(str))


def test_a_loss_of_ones_own_trains(folder):
    settings = ["training.loss=own_code_for_regression:log_cosh", "stop.updates=12"]
    run = simulate(load_scenario(folder / "regression.yaml", settings), folder / "own-loss")
    assert run.metrics.loss.iloc[-1] < run.metrics.loss.iloc[0]


def scenario(*settings):
    return load_scenario("scenarios/smallest.yaml", settings)


@pytest.mark.parametrize(
    ("form", "settings", "says"),
    [
        (
            NUMBERS,
            [],
            r"training\.loss: cross_entropy is for classes or a label for each token, but the "
            r"labels are numbers \(regression\); expected one of mse, l1, huber, or package",
        ),
        (SEVERAL, ["training.loss=mse"], r"training\.loss: mse is for .*; expected bce, or"),
        (CLASSES, ["training.loss=l1"], "expected one of cross_entropy, nll, mse, or package"),
        (
            CLASSES,
            ["evaluation.metrics=[rmse]"],
            r"evaluation\.metrics: rmse is for numbers \(regression\), but the labels are classes; "
            "expected one of accuracy, top5",
        ),
        (
            SampleForm((4,), 3),
            ["evaluation.metrics=[top5]"],
            r"evaluation\.metrics: top5 is always 1 with 3 classes",
        ),
        (
            NUMBERS,
            ["training.loss=mse", "evaluation.targets=[0.8]"],
            r"evaluation\.targets: the labels are numbers \(regression\), and accuracy is not "
            r"measured; expected targets by metric, as in \{rmse: \[\.\.\.\]\}",
        ),
        (
            NUMBERS,
            ["training.loss=mse", "evaluation.targets={rmsee: 1}"],
            r"evaluation\.targets: unknown metric 'rmsee'; expected one of rmse, mae, r2; did you",
        ),
        (
            TOKENS,
            ["stop.metrics={top5: 0.9}"],
            r"stop\.metrics: no evaluation measures 'top5'; expected one of accuracy, perplexity, "
            "or top5 among evaluation.metrics",
        ),
        (
            NUMBERS,
            ["training.loss=mse", "stop.accuracy=0.9"],
            r"stop\.accuracy: .*accuracy is not measured; expected stop\.metrics, as in \{rmse",
        ),
    ],
)
def test_what_does_not_suit_the_labels_is_refused_in_one_line(form, settings, says):
    with pytest.raises(ScenarioError, match=says) as caught:
        check_task(scenario(*settings), form)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["evaluation.metrics=[own_code_for_regression:fails]"], "fails.*RuntimeError: no luck"),
        (["training.loss=own_code_for_regression:mean"], r"training\.loss: .*expected float32"),
        (
            [
                "evaluation.metrics=[own_code_for_regression:spread]",
                "evaluation.per_client=true",
                "data.client_test=0.1",
            ],
            "spread fails on made-up outputs and labels: IndexError",
        ),
        (
            ["evaluation.metrics=[own_code_for_regression:counts]"],
            r"counts gives different results for equal calls; .*\.py:\d+\)",
        ),
        (
            ["training.loss=own_code_for_regression:shifts"],
            r"training\.loss: .*shifts changes the labels that it is given.*\.py:\d+\)",
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_own_code_that_fails_is_told_before_the_run(settings, says):
    given = scenario("training.loss=mse", *settings)
    with pytest.raises(ScenarioError, match=says):
        check_task(given, NUMBERS)


@pytest.mark.parametrize("form", [CLASSES, NUMBERS, SEVERAL, TOKENS])
def test_the_defaults_suit_every_form_of_labels(form):
    loss = {"number": "huber", "several": "multilabel"}.get(form.target, "cross_entropy")
    check_task(scenario(f"training.loss={loss}"), form)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            "evaluation.per_client=true",
            "but data.client_test is 0; expected data.client_test above",
        ),
        ("stop={metrics: {rmse: 3}}", "stop.metrics: this is the only stop rule"),
        ("stop={metrics: {}}", "stop.metrics"),
        ("evaluation.metrics=[acuracy]", "did you mean 'accuracy'"),
        ("evaluation.metrics=[auc, auc]", "two are called auc"),
        ("evaluation.metrics=[]", "got an empty list"),
        ("evaluation.targets={accuracy: 3}", "expected a share above 0 and at most 1"),
        ("training.loss=crossentropy", "did you mean 'cross_entropy'"),
        ("training.loss={kind: huber, delta: 0}", "delta: got 0; expected"),
    ],
)
def test_what_no_data_could_suit_is_refused_with_the_file(settings, says):
    with pytest.raises(ScenarioError) as caught:
        scenario(settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fairness_is_about_the_clients_that_have_a_value():
    values = [*(n / 20 for n in range(1, 21)), None]
    known = fairness(values, "higher")
    assert known["mean"] == pytest.approx(0.525)
    assert known["worst_decile"] == pytest.approx(0.075)  # of .05 and .1
    assert known["variance"] == pytest.approx(np.var(values[:-1]))
    assert known["jain"] == pytest.approx(10.5**2 / (20 * sum(x * x for x in values[:-1])))
    assert fairness(values, "lower")["worst_decile"] == pytest.approx(0.975)
    assert fairness([0.5, 0.5], "higher")["jain"] == 1
    assert fairness([-1.0, 1.0], "higher")["jain"] is None
    assert set(fairness([None], "higher").values()) == {None}
