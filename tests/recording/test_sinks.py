"""Evaluations in TensorBoard and MLflow, read back as those programs read them."""

import importlib.util

import pytest

from afl_sim import load_run, load_scenario, simulate
from afl_sim.errors import AflSimError, InputError
from afl_sim.recording import sinks
from afl_sim.recording.metrics import EvaluationRow
from afl_sim.recording.sinks import open_sinks, scalars
from afl_sim.run.api import resume

SMALL = ["stop.updates=20", "evaluation.samples=100", "evaluation.every_seconds=1.5"]


def scenario(*settings):
    return load_scenario("scenarios/smallest.yaml", [*SMALL, *settings])


def accumulated(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return found


def assert_holds(folder, metrics):
    """The event file's scalars are the rows of the metrics, along virtual time."""
    found = accumulated(folder)
    assert len(metrics) > 2
    for name in ("accuracy", "loss", "version", "updates", "samples"):
        points = found.Scalars(name)
        assert [point.step for point in points] == metrics["time_us"].tolist()
        assert [point.wall_time for point in points] == (metrics["time_us"] / 1e6).tolist()
        assert [point.value for point in points] == pytest.approx(metrics[name].tolist())
    third = [row[3] for row in metrics["class_accuracy"]]
    assert [p.value for p in found.Scalars("class_accuracy/3")] == pytest.approx(third)


needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="the extra is not installed"
)


@needs_tensorboard
def test_tensorboard_holds_the_metrics_along_virtual_time(tmp_path):
    plain = simulate(scenario(), tmp_path / "plain")
    run = simulate(scenario("execution.sinks=[tensorboard]"), tmp_path / "run")
    assert_holds(run.path / "tensorboard", run.metrics)
    assert run.summary["model_digest"] == plain.summary["model_digest"]
    assert not (plain.path / "tensorboard").exists()


@needs_tensorboard
def test_tensorboard_holds_energy_price_and_carbon(tmp_path):
    run = simulate(scenario("execution.sinks=[tensorboard]", *COUNTED), tmp_path / "run")
    found = accumulated(run.path / "tensorboard")
    for name in COSTS:
        values = [point.value for point in found.Scalars(name)]
        assert values == pytest.approx(run.metrics[name].tolist())


@needs_tensorboard
def test_a_resumed_run_tells_every_evaluation_once(tmp_path):
    chosen = scenario("execution.sinks=[tensorboard]", "execution.checkpoint_versions=1")
    asked = iter(range(100))
    with pytest.raises(KeyboardInterrupt):
        simulate(chosen, tmp_path / "run", stop_wanted=lambda: next(asked) == 2)
    assert len(accumulated(tmp_path / "run" / "tensorboard").Scalars("accuracy")) > 0
    done = resume(tmp_path / "run")
    assert done.status == "complete"
    assert_holds(done.path / "tensorboard", load_run(done.path).metrics)


def test_without_its_extra_a_sink_is_an_input_error_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr("afl_sim.recording.sinks.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"mlflow is not installed; the extra \[mlflow\] installs it"
    ):
        simulate(scenario("execution.sinks=[mlflow]"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


class Fragile:
    """A sink whose other side goes away.

    Attributes:
        fails_at: the evaluation, from 1, that it does not take; or "close".
        closed: how often it was.
        told: (time_us, version, costs) of each evaluation.
    """

    def __init__(self, fails_at=None):
        self.fails_at = fails_at
        self.taken = self.closed = 0
        self.told = []

    def evaluated(self, row, costs):
        self.told.append((row.time_us, row.version, dict(costs)))
        self.taken += 1
        if self.taken == self.fails_at:
            raise ConnectionError("the server went away")

    def close(self):
        self.closed += 1
        if self.fails_at == "close":
            raise ConnectionError("the server went away")


@pytest.fixture
def opened(monkeypatch):
    """Puts sinks of a test in the place of MLflow's and TensorBoard's."""

    def use(mlflow, tensorboard=None):
        monkeypatch.setattr(sinks, "find_spec", lambda name: name)
        for name, sink in (("MlflowSink", mlflow), ("TensorBoardSink", tensorboard)):
            monkeypatch.setattr(sinks, name, sink if callable(sink) else lambda _, sink=sink: sink)
        return mlflow

    return use


MLFLOW = "execution.sinks=[mlflow]"
BOTH = "execution.sinks=[tensorboard, mlflow]"


@pytest.mark.parametrize("fails_at", [2, "close"])
def test_a_sink_that_breaks_off_is_one_error_and_the_run_can_go_on(fails_at, tmp_path, opened):
    sink = opened(Fragile(fails_at))
    chosen = scenario(MLFLOW, "execution.checkpoint_versions=1")
    with pytest.raises(
        AflSimError, match="mlflow does not accept evaluations: ConnectionError: the serv"
    ):
        simulate(chosen, tmp_path / "run")
    assert sink.closed == 1
    assert load_run(tmp_path / "run").status == "failed"
    whole = opened(Fragile())
    done = resume(tmp_path / "run")
    assert done.status == "complete"
    assert whole.taken == len(done.metrics)
    assert whole.closed == 1
    assert done.summary["model_digest"] == simulate(scenario()).summary["model_digest"]


COUNTED = [
    "clients.power={compute: 3, download: 1, upload: 2, idle: 0.1}",
    "clients.price={per_task: 2}",
    "carbon_intensity=300",
]
COSTS = ("energy_joules", "price", "carbon_grams")


def costs_of(metrics):
    """The rows that a sink should have been told."""
    return [
        (row["time_us"], row["version"], {name: row[name] for name in COSTS})
        for row in metrics.to_dict("records")
    ]


def test_a_sink_is_told_what_the_run_has_used_and_cost(tmp_path, opened):
    sink = opened(Fragile())
    run = simulate(scenario(MLFLOW, *COUNTED), tmp_path / "run")
    assert sink.told == costs_of(run.metrics)
    assert sink.told[-1][2]["energy_joules"] == run.summary["energy_joules"]["total"] > 0
    plain = opened(Fragile())
    simulate(scenario(MLFLOW), tmp_path / "plain")
    assert [costs for _, _, costs in plain.told] == [{}] * plain.taken


def test_a_resumed_run_tells_what_it_had_used_before_the_interruption_too(tmp_path, opened):
    opened(Fragile())
    chosen = scenario(MLFLOW, "execution.checkpoint_versions=1", *COUNTED)
    asked = iter(range(100))
    with pytest.raises(KeyboardInterrupt):
        simulate(chosen, tmp_path / "run", stop_wanted=lambda: next(asked) == 2)
    again = opened(Fragile())
    done = resume(tmp_path / "run")
    assert again.told == costs_of(done.metrics)
    assert again.told == costs_of(simulate(scenario(*COUNTED)).metrics)


def test_a_sink_that_cannot_begin_leaves_a_broken_off_run_as_it_was(tmp_path, opened):
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario(), tmp_path / "run", stop_wanted=lambda: True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def away(described):
        raise ConnectionError("nobody there")

    asked = scenario(BOTH).execution
    opened(away, Fragile())
    with pytest.raises(InputError, match="mlflow cannot start: ConnectionError: nobody there"):
        resume(tmp_path / "run", execution=asked)
    with pytest.raises(InputError, match="mlflow cannot start"):
        simulate(scenario(BOTH), tmp_path / "new")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_without_the_extra_a_broken_off_run_stays_as_it_was(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario(), tmp_path / "run", stop_wanted=lambda: True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(sinks, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="mlflow is not installed"):
        resume(tmp_path / "run", execution=scenario(MLFLOW).execution)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "breaks", ["run.training.TrainingLearner", "recording.EventLog.close", "run.building.World"]
)
def test_sinks_are_closed_whatever_goes_wrong(breaks, tmp_path, monkeypatch, opened):
    first, second = Fragile(), Fragile("close")
    opened(first, second)

    def broken(*arguments, **options):
        raise AflSimError("broken")

    monkeypatch.setattr(f"afl_sim.{breaks}", broken)
    with pytest.raises(AflSimError, match="broken"):
        simulate(scenario(BOTH), tmp_path / "run")
    assert (first.closed, second.closed) == (1, 1)
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_was_not_measured_is_no_scalar():
    row = EvaluationRow(5, 1, 2, 30, None, 0.5, ())
    assert scalars(row, {}) == [
        ("loss", 0.5),
        ("version", 1.0),
        ("updates", 2.0),
        ("samples", 30.0),
    ]


def test_mlflow_holds_the_metrics_along_virtual_time(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    (sink,) = open_sinks(["mlflow"], tmp_path, {"name": "a", "stop": {"updates": 3}})
    rows = [
        EvaluationRow(n * 1_500_000, n, 2 * n, 60 * n, 0.1 * n, 1.0 - 0.1 * n, ()) for n in range(4)
    ]
    for row in rows:
        sink.evaluated(row, {"energy_joules": 2.5 * row.version})
    sink.close()
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("afl_sim")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["stop.updates"] == "3"
    assert run.info.status == "FINISHED"
    points = sorted(client.get_metric_history(run.info.run_id, "accuracy"), key=lambda p: p.step)
    assert [point.step for point in points] == [row.time_us for row in rows]
    assert [point.timestamp for point in points] == [row.time_us // 1000 for row in rows]
    assert [point.value for point in points] == pytest.approx([row.accuracy for row in rows])
    joules = client.get_metric_history(run.info.run_id, "energy_joules")
    assert sorted(point.value for point in joules) == [0, 2.5, 5, 7.5]
