"""`calibrate`: this machine's speed becomes a trace that a scenario can use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from places import ROOT

from afl_sim import load_scenario, simulate
from afl_sim.errors import InputError
from afl_sim.run.api import read_study
from afl_sim.run.calibration import calibrate, model_in
from afl_sim.scenario.traces.devices import read_devices

MODELS = """\
from torch import nn

def needs_width(width):
    return nn.Linear(784, width)

class tuples(nn.Linear):
    def __init__(self):
        super().__init__(784, 10)

    def forward(self, images):
        return super().forward(images.flatten(1)), None
"""
SCENARIO = """\
data: {partition: {kind: iid, samples: 100}}
clients: {count: 5, devices: {trace: here.csv}}
strategy: {kind: fedasync, concurrency: 1}
recording: {trace: false}
stop: {updates: 3}
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [("needs_width", "missing a required argument: 'width'; expected"), ("tuples", "a tuple")],
)
def test_a_model_of_ones_own_that_cannot_be_measured_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str, message: str
) -> None:
    (tmp_path / "slow_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "slow_models", raising=False)
    with pytest.raises(InputError, match=message) as caught:
        calibrate(f"slow_models:{factory}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "dataset", "told"),
    [
        ("lstm", "mnist", "lstm takes sequences of tokens, but .* expected --scenario with one"),
        ("torchvision", "cifar10", "torchvision: name: Field required; expected a block with its"),
        ({"name": "lenet"}, "mnist", "a model has the kind nothing; expected its name"),
        ({"kind": "lenet", "widht": 2}, "mnist", "lenet: widht: Extra inputs are not permitted"),
    ],
)
def test_a_model_that_lacks_something_says_what(model: Any, dataset: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        calibrate(model, dataset)


def test_models_with_settings_are_measured_on_samples_like_those_of_a_scenario() -> None:
    scenario = read_study(ROOT / "scenarios" / "addresses.yaml").cases[0].scenario
    own = calibrate(batch_size=2, repeats=1, scenario=scenario)
    assert own.model.startswith("lstm(")
    small = {"kind": "transformer", "width": 8, "heads": 2, "layers": 1}
    found = calibrate(small, batch_size=2, repeats=1, scenario=scenario)
    assert found.model == "transformer(width=8, heads=2, layers=1)"
    assert min(own.seconds_per_sample, found.seconds_per_sample) > 0


def test_models_of_torchvision_are_measured() -> None:
    model = model_in("{kind: torchvision, name: squeezenet1_1}")
    found = calibrate(model, "cifar10", batch_size=2, repeats=1)
    assert found.model == "torchvision(name=squeezenet1_1)"


def test_samples_may_have_several_labels() -> None:
    assert calibrate("logistic", "celeba", batch_size=2, repeats=1).seconds_per_sample > 0


def test_a_model_is_measured_and_the_trace_drives_a_run(afl_sim: Command, tmp_path: Path) -> None:
    out = tmp_path / "here.csv"
    options = ("--out", str(out), "--batch-size", "8", "--repeats", "3")
    measured, *wrong = afl_sim.batch(
        [
            ("calibrate", "logistic", "mlp", *options),
            ("calibrate", "logistik", *options),
            ("calibrate", "mlp", "--dataset", "mnits", "--out", str(tmp_path / "no.csv")),
            ("calibrate", "mlp", "--repeats", "0", "--out", str(tmp_path / "no.csv")),
            ("calibrate", "{kind: lstm", "--out", str(tmp_path / "no.csv")),
            ("calibrate", "--out", str(tmp_path / "no.csv")),
        ]
    )
    assert [line.split(":")[0] for line in measured.succeeded().out.splitlines()] == [
        "logistic",
        "mlp",
        "trace",
    ]
    devices = read_devices(out)
    seconds = devices.columns["seconds_per_sample"]
    assert len(seconds) == 2
    assert all(0 < each < 1 for each in seconds)  # in any order
    assert [result.code for result in wrong] == [2] * 5
    told = ("'logistic'?", "'mnist'?", "--repeats", "not valid YAML", "there is no model; expected")
    for result, message in zip(wrong, told, strict=True):
        assert message in result.errors[0]
    assert not (tmp_path / "no.csv").exists()

    (tmp_path / "fleet.yaml").write_text(SCENARIO)
    run = simulate(load_scenario(tmp_path / "fleet.yaml"), timing_only=True)
    each = [100 * per_sample for per_sample in seconds]
    events = run.events
    began = events[events["kind"] == "downloaded"].set_index("task")["time_us"]
    ended = events[events["kind"] == "computed"]["time_us"].to_numpy()
    for took in ended - began.to_numpy()[: len(ended)]:
        assert min(abs(took / 1e6 - usual) for usual in each) < 1e-6  # the clock's unit
