"""Workers on Ray clusters of one or several raylets on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from places import SMALLEST
from run_checks import alone, results
from sessions import session, wait_for

from afl_sim import __version__
from afl_sim.errors import InputError
from afl_sim.run.api import load_scenario, read_study, simulate
from afl_sim.scenario import Study
from afl_sim.study.study import Options, run_cases

SETTINGS = ["stop.updates=24", "evaluation.samples=100", "evaluation.every_versions=4"]
QUAFL = "{kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5}"
RAISES = "{kind: 'odd_strategies:Raises'}"
FEDBUFF = "{kind: fedbuff, concurrency: 5, buffer_size: 3}"


def test_without_the_package_there_is_one_clear_error_and_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = tmp_path / "study.yaml"
    path.write_text(SMALLEST.read_text() + "replications: 2\n")
    study = read_study(path, ["execution={executor: ray, workers: 2}"])
    with pytest.raises(InputError, match=r"needs the package ray .*pip install 'afl-sim\[ray\]'"):
        run_cases(study, Options(out=tmp_path / "out"), lambda case: None)
    with pytest.raises(InputError, match="needs the package ray"):
        simulate(study.cases[0].scenario, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["study.yaml"]


def test_a_clients_address_is_refused() -> None:
    execution = "execution={executor: ray, ray_address: 'ray://head:10001'}"
    with pytest.raises(InputError, match=r"got ray://head:10001; expected auto or host:port"):
        simulate(load_scenario(SMALLEST, [execution]))


class NoToken(Exception):
    """What Ray raises where it has no token; it is not a `ConnectionError`."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoToken("No token was found. Ensure that there is one."), "No token was found"),
        (ConnectionError("Failed to connect."), "Failed to connect"),
    ],
)
def test_a_cluster_that_does_not_let_the_command_in_is_one_clear_error(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def init(**settings: Any) -> None:
        raise error

    fake = SimpleNamespace(
        is_initialized=lambda: False, init=init, exceptions=SimpleNamespace(RayError=NoToken)
    )
    monkeypatch.setattr("afl_sim.execution.workers.ray.import_ray", lambda: fake)
    execution = "execution={executor: ray, ray_address: '10.0.0.1:6379'}"
    with pytest.raises(InputError) as caught:
        simulate(load_scenario(SMALLEST, [execution]), tmp_path / "out")
    assert str(caught.value) == (
        f"execution.ray_address: cannot use the cluster at 10.0.0.1:6379: {said}; if the cluster "
        "uses a token, set RAY_AUTH_MODE=token in the environment, and put the token in "
        "~/.ray/auth_token (or in the file RAY_AUTH_TOKEN_PATH, or in RAY_AUTH_TOKEN)"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_cluster_with_a_token_lets_in_what_has_it(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("", 0))
        address = f"{socket.gethostbyname(socket.gethostname())}:{free.getsockname()[1]}"
    homes = {name: tmp_path / name for name in ("head", "command", "stranger")}
    for name, home in homes.items():
        (home / ".ray").mkdir(parents=True)
        if name != "stranger":
            (home / ".ray" / "auth_token").write_text("1a" * 32)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    plain |= {"PYTHONPATH": str(SMALLEST.parents[1]), "RAY_USAGE_STATS_ENABLED": "0"}

    def environment(home: str) -> dict[str, str]:
        return {**plain, "HOME": str(homes[home]), "RAY_AUTH_MODE": "token"}

    host, _, port = address.rpartition(":")
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    ray += [f"--node-ip-address={host}", f"--port={port}", "--num-cpus=1"]
    short = tempfile.mkdtemp(prefix="ray-")  # the path of a socket has room for 107 characters
    ray += ["--include-dashboard=false", f"--temp-dir={short}"]
    command = [sys.executable, "-m", "afl_sim", "run", str(SMALLEST), "--executor", "ray"]
    command += ["--set", "stop.updates=10", "--ray-address", address]
    head = subprocess.Popen(ray, env=environment("head"), start_new_session=True)
    try:
        wait_for(lambda: answers(host, int(port)), 120)
        taken, refused = (
            subprocess.run([*command, "--out", tmp_path / home / "out"], env=environment(home))
            for home in ("command", "stranger")
        )
    finally:
        for process in session(head.pid):
            os.kill(process, signal.SIGKILL)
        head.wait()
        shutil.rmtree(short, ignore_errors=True)
    assert (taken.returncode, refused.returncode) == (0, 2)


def answers(host: str, port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as asking:
        return asking.connect_ex((host, port)) == 0


def test_the_documented_cluster_is_one_that_ray_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    from ray.autoscaler._private.util import prepare_config, validate_config

    text = (SMALLEST.parents[1] / "docs" / "cluster.yaml").read_text()
    validate_config(prepare_config(yaml.safe_load(text)))
    assert f"afl_sim-{__version__}-py3" in text


@pytest.fixture(scope="module")
def local() -> Iterator[None]:
    """A cluster on this machine, which the tests' runs find running."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # else the workers wait for all other processes
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def study_of(
    folder: Path, *strategies: str, settings: Sequence[str] = (), address: str = "null"
) -> Study:
    path = folder / "study.yaml"
    rows = "".join(f"    - {strategy}\n" for strategy in strategies)
    path.write_text(SMALLEST.read_text() + f"sweep:\n  strategy:\n{rows}")
    execution = f"execution={{executor: ray, workers: 2, ray_address: {address}}}"
    return read_study(path, [*SETTINGS, *settings, execution])


@pytest.mark.slow
@pytest.mark.usefixtures("local")
def test_actors_make_the_bits_of_one_process() -> None:
    settings = [*SETTINGS, f"strategy={QUAFL}", "data.validation=0.1"]
    spread = simulate(load_scenario(SMALLEST, [*settings, "execution.executor=ray"]))
    here = simulate(load_scenario(SMALLEST, settings))
    assert spread.summary["model_digest"] == here.summary["model_digest"]
    assert spread.metrics.equals(here.metrics)
    assert spread.events.equals(here.events)


@pytest.mark.slow
@pytest.mark.usefixtures("local")
def test_whole_runs_come_back_from_the_cluster(tmp_path: Path) -> None:
    study = study_of(tmp_path, FEDBUFF, RAISES, QUAFL)
    reports: list[Any] = []
    _, outcomes = run_cases(study, Options(out=tmp_path / "out"), lambda case: reports.append)
    assert results(outcomes[0]) == alone(study.cases[0])
    assert results(outcomes[2]) == alone(study.cases[2])
    assert "no such tier" in str(outcomes[1].error)
    assert outcomes[1].status == "failed"
    assert reports[-1].updates > 0
    assert not list((tmp_path / "out").rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.usefixtures("local")
def test_whole_runs_on_a_cluster_are_interrupted_and_gone_on_with(tmp_path: Path) -> None:
    # Long enough to be under way still when the first report of progress has come.
    study = study_of(tmp_path, FEDBUFF, QUAFL, settings=["stop.updates=300"])
    begun = threading.Event()
    options = Options(out=tmp_path / "out", stop_wanted=begun.is_set)
    with pytest.raises(KeyboardInterrupt):
        run_cases(study, options, lambda case: lambda progress: begun.set())
    assert len(list((tmp_path / "out").glob("*/checkpoint"))) >= 1
    _, outcomes = run_cases(study, Options(out=tmp_path / "out", resume=True), lambda case: None)
    assert [results(outcome) for outcome in outcomes] == [alone(case) for case in study.cases]


@pytest.mark.slow
@pytest.mark.usefixtures("local")
def test_a_run_for_which_the_cluster_has_no_room_is_stopped_by_the_first_signal(
    tmp_path: Path,
) -> None:
    import ray

    occupied = ray.util.placement_group([{"CPU": 1}] * 2)  # others use all of the cluster
    assert occupied.wait(60)
    try:
        asked = iter([False, False])
        options = Options(out=tmp_path / "out", stop_wanted=lambda: next(asked, True))
        with pytest.raises(KeyboardInterrupt):
            run_cases(study_of(tmp_path, FEDBUFF, QUAFL), options, lambda case: None)
        scenario = load_scenario(SMALLEST, [*SETTINGS, "execution.executor=ray"])
        with pytest.raises(KeyboardInterrupt):
            simulate(scenario, tmp_path / "run", stop_wanted=lambda: True)
    finally:
        ray.util.remove_placement_group(occupied)
    assert not (tmp_path / "run").exists()
    assert not list((tmp_path / "out").glob("*/scenario.yaml"))


@pytest.mark.slow
def test_a_machine_that_dies_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    def actors(state: str) -> int:
        return [actor["State"] for actor in ray._private.state.actors().values()].count(state)

    ray.shutdown()  # the cluster of the tests before
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        address = f"execution={{executor: ray, workers: 2, ray_address: '{cluster.address}'}}"
        settings = [*SETTINGS, f"strategy={FEDBUFF}", "stop.updates=300"]
        scenario = load_scenario(SMALLEST, [*settings, address])

        under_way = threading.Event()

        def kill() -> None:  # beside the run, whose workers are busy all the time
            under_way.wait()
            cluster.remove_node(nodes.pop(), allow_graceful=False)

        def look(progress: Any) -> None:
            if progress.version == 4:
                wait_for(lambda: actors("ALIVE") == 2, 60)  # one on each machine
            elif progress.version == 8:
                under_way.set()

        killer = threading.Thread(target=kill)
        killer.start()
        spread = simulate(scenario, progress=look)
        killer.join()
        here = simulate(load_scenario(SMALLEST, settings))
        assert len(nodes) == 1
        assert actors("ALIVE") + actors("DEAD") + actors("PENDING_CREATION") >= 3
        assert spread.summary["model_digest"] == here.summary["model_digest"]
        assert spread.events.equals(here.events)
        assert spread.metrics.equals(here.metrics)

        nodes.append(cluster.add_node(num_cpus=1))
        cluster.wait_for_nodes()
        study = study_of(tmp_path, FEDBUFF, QUAFL, address=f"'{cluster.address}'")

        def kill_another(progress: Any) -> None:
            if len(nodes) == 2:
                cluster.remove_node(nodes.pop(), allow_graceful=False)

        _, outcomes = run_cases(study, Options(out=tmp_path / "out"), lambda case: kill_another)
        assert len(nodes) == 1
        assert [results(outcome) for outcome in outcomes] == [alone(case) for case in study.cases]
    finally:
        ray.shutdown()
        cluster.shutdown()
