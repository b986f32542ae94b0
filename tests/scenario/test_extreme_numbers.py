"""Numbers that are finite but beyond what a run can count are refused before it, by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.validation import check_study

TEXT = """\
clients: {count: 6}
strategy: {kind: fedasync, concurrency: 3}
stop: {updates: 20}
model: logistic
"""
HEAVY = "{dist: zipf, a: 1.1, allow_heavy_tail: true}"


def refused(folder: Path, text: str, timing_only: bool = False) -> list[str]:
    """The lines of what is told of a file, each beginning with the number of its line."""
    file = folder / "x.yaml"
    file.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        check_study(file, timing_only=timing_only)
    return [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()]


def clients(inside: str) -> str:
    return TEXT.replace("count: 6", f"count: 6, {inside}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            clients("network: {download: {bandwidth: 1e-300}}"),
            "1: clients.network.download: client 0's tasks usually spend 3.14e+304 s here; "
            "expected at most 9e+12, the end of the clock",
        ),
        (
            clients("network: {upload: {bandwidth: {dist: lognorm, s: 1, scale: 1e-300}}}"),
            "1: clients.network.upload: client 0's tasks usually spend",
        ),
        (
            clients("network: {upload: {bandwidth: {dist: powerlaw, a: 0.01}}}"),
            "1: clients.network.upload.bandwidth: can be 0",
        ),
        (
            clients("compute: {seconds_per_task: 1e300}"),
            "1: clients.compute.seconds_per_task: got 1e+300; expected at most 9e+12, the end of",
        ),
        (
            clients("compute: {seconds_per_task: {values: [1, 1, 1, 1e13, 1, 1]}}"),
            "1: clients.compute.seconds_per_task: client 3: usually draws 1e+13; expected at most",
        ),
        (
            clients("compute: {seconds_per_task: {dist: expon, scale: 2e13}}"),
            "1: clients.compute.seconds_per_task: usually draws 1386294361",
        ),
        (
            clients("compute: {jitter_seconds: {sequence: [1, 1e300]}}"),
            "1: clients.compute.jitter_seconds: usually draws 1e+300",
        ),
        (
            clients("compute: {jitter: 1e300}"),
            "1: clients.compute: client 0's tasks usually spend 1e+300 s here",
        ),
        (clients("availability: {kind: on_off, on: 1e300, off: 1}"), "1: clients.availability.on"),
        (
            TEXT + "training: {steps: 1e18}",
            "5: training.steps: got 1e+18; expected at most 100000000",
        ),
        (TEXT + "training: {epochs: 1e300}", "5: training.epochs: got 1e+300; expected at most"),
        (
            TEXT + f"training: {{steps: {HEAVY}}}",
            "5: training.steps: client ",
        ),
        (
            TEXT + "server: {download: {kind: fifo, bandwidth: 1e-300}}",
            "5: server.download: client 0's tasks usually spend 3.14e+304 s here",
        ),
        (
            TEXT + "server: {aggregation_seconds: 1e300}",
            "5: server.aggregation_seconds: got 1e+300; expected at most 9e+12",
        ),
        (TEXT + "evaluation: {every_seconds: 1e-300}", "5: evaluation.every_seconds: got 1e-300"),
        (
            TEXT.replace("{kind: fedasync, concurrency: 3}", "{kind: fedfix, interval: 1e-300}"),
            "2: strategy.interval: got 1e-300; expected 1e-06 or more",
        ),
        (
            TEXT.replace(
                "fedasync, concurrency: 3", "fedavg, clients_per_round: 2, deadline: 1e99"
            ),
            "2: strategy.deadline: got 1e+99; expected at most 9e+12",
        ),
        (
            TEXT.replace(
                "fedasync, concurrency: 3", "quafl, clients_per_round: 2, local_steps: 1e9"
            ),
            "2: strategy.local_steps: got 1000000000; expected at most 100000000",
        ),
    ],
)
def test_what_no_run_can_count_is_refused_before_it(tmp_path: Path, text: str, told: str) -> None:
    (line,) = refused(tmp_path, text)
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("text", "sweep", "seconds"),
    [
        (
            clients("network: {download: {bandwidth: 1e6}}"),
            "clients.network.download.bandwidth: [1e5, 1e-300]",
            "3.14e+304",
        ),
        (
            TEXT + "server: {download: {kind: fifo, bandwidth: 1e6}}\n",
            "server.download.bandwidth: [1e5, 1e-300]",
            "3.14e+304",
        ),
        (
            clients("compute: {seconds_per_step: 1e6}") + "training: {steps: 1}\n",
            "training.steps: [2, 100000000]",
            "1e+14",
        ),
    ],
)
def test_every_case_of_a_study_is_looked_at(
    tmp_path: Path, text: str, sweep: str, seconds: str
) -> None:
    (line,) = refused(tmp_path, f"{text}sweep: {{{sweep}}}\n")
    assert f"client 0's tasks usually spend {seconds} s here" in line


def test_what_is_drawn_too_large_in_a_run_is_blamed_on_the_scenario(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    for text, told in (
        (clients("network: {download: {bandwidth: 1e-300}}"), "clients.network.download: drew"),
        (TEXT + f"training: {{steps: {HEAVY}}}", "local steps; expected at most 100,000,000"),
    ):
        file.write_text(text)
        with pytest.raises(ScenarioError, match=told):
            simulate(load_scenario(file), timing_only=True)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (clients("compute: {seconds_per_task: .inf}"), "clients.compute.seconds_per_task"),
        (clients("network: {upload: {bandwidth: .inf}}"), "clients.network.upload.bandwidth"),
        (clients("compute: {hours: {speed: [.inf]}}"), "clients.compute.hours.speed.0"),
        (clients("compute: {jitter: {dist: expon, scale: .nan}}"), "clients.compute.jitter.scale"),
        (TEXT + "evaluation: {every_seconds: .inf}", "evaluation.every_seconds"),
        (TEXT.replace("updates: 20", "virtual_seconds: -.inf"), "stop.virtual_seconds"),
        (
            TEXT.replace("kind: fedasync, concurrency: 3", "kind: fedfix, interval: .inf"),
            "strategy",
        ),
        (TEXT.replace("count: 6", "count: .inf"), "clients.count"),
        (TEXT.replace("updates: 20", "updates: 99999999999999999999"), "stop.updates"),
        (clients("compute: {slowdowns: {factor: 2, fast_seconds: .inf, slow_seconds: 1}}"), ""),
    ],
)
def test_a_number_that_is_none_is_told_once(tmp_path: Path, text: str, key: str) -> None:
    (line,) = refused(tmp_path, text)
    assert key in line
    assert "is not a finite number" in line or "too large to use" in line


def test_other_mistakes_are_told_beside_a_number_that_is_none(tmp_path: Path) -> None:
    text = TEXT.replace("updates: 20", "virtual_seconds: .inf, updates: 0, upates: 3")
    told = refused(tmp_path, text + "evaluation: {every_seconds: 0}")
    assert [line.split(": ")[1] for line in told] == [
        "stop.virtual_seconds",
        "stop.updates",
        "stop.upates",
        "evaluation.every_seconds",
    ]
