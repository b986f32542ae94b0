"""Compression: what arrives, in how many bytes, and what clients keep of what they did not send."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import SMALLEST
from scipy import stats
from torch import Tensor
from vectors import flat_layout, vec

from afl_sim.errors import ScenarioError
from afl_sim.execution.local.inline import InlineExecutor
from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import TrainingTask
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.learning.training.compressors import (
    Compressor,
    compressed,
    quantized,
    rand_k,
    top_k,
)
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.compression import (
    BFloat16,
    Compression,
    NoCompression,
    Qsgd,
    RandK,
    TopK,
)
from afl_sim.strategies.base import Population
from afl_sim.strategies.methods.fedavg import FedAvg
from afl_sim.streams import Streams
from afl_sim.world.tasks.task import Task

SCHEMES = {
    "topk": "{upload: {kind: topk, fraction: 0.05}}",
    "topk without memory": "{upload: {kind: topk, fraction: 0.05, error_feedback: false}}",
    "qsgd": "{upload: {kind: qsgd, levels: 4}, download: {kind: qsgd, levels: 127}}",
    "bf16": "{upload: bf16, download: bf16}",
    "randk": "{upload: {kind: randk, fraction: 0.05}}",
}


# -- numbers by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [0, -5, 0, 0, 0]),  # of equal ones the first
        (2, [0, -5, 0, 5, 0]),
        (3, [3, -5, 0, 5, 0]),
        (5, [3, -5, 1, 5, 0.5]),
    ],
)
def test_top_k_keeps_the_largest(k: int, expected: list[float]) -> None:
    assert top_k(vec(3, -5, 1, 5, 0.5), k).tolist() == expected
    assert top_k(vec(0, 0, 0), 2).tolist() == [0, 0, 0]


def test_top_k_sends_what_is_not_a_number_first() -> None:
    assert str(top_k(vec(1, math.nan, 2, math.inf), 2).tolist()) == "[0.0, nan, 0.0, inf]"
    assert str(top_k(vec(1, math.nan, math.nan), 1).tolist()) == "[0.0, nan, 0.0]"


@pytest.mark.parametrize(
    ("vector", "levels", "draws", "expected"),
    [
        # ||v|| = 5: multiples of 5/s. |v_i| s / 5 = 3, 4: on a level, whatever is drawn.
        ([3, -4], 5, [0.0, 0.999], [3, -4]),
        # 0.6 and 0.8 of a level: up if the draw is below.
        ([3, -4], 1, [0.59, 0.81], [5, 0]),
        ([3, -4], 1, [0.61, 0.79], [0, -5]),
        # 1.2 and 1.6: the level is 2.5.
        ([3, -4], 2, [0.19, 0.61], [5, -2.5]),
        ([0, 0], 4, [0.0, 0.0], [0, 0]),
        # Two buckets, the second one short: norms 5 and 2.
        ([3, 4, -2], 1, [0.5, 0.9, 0.999], [5, 0, -2]),
    ],
)
def test_qsgd_rounds_to_a_level_beside(
    vector: list[float], levels: int, draws: list[float], expected: list[float]
) -> None:
    assert quantized(vec(*vector), vec(*draws), levels, 2).tolist() == expected


def test_bfloat16_rounds_to_nearest_even() -> None:
    vector = vec(1 + 2**-8, 1 + 3 * 2**-8, -1 / 3)
    found = compressed(BFloat16(kind="bf16"), vector, Streams(1), "x", 0, 0)
    assert found.tolist() == [1, 1 + 2**-6, -0.333984375]
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("scheme", "size"),
    [
        (NoCompression(), 4000),
        (BFloat16(kind="bf16"), 2000),
        (TopK(kind="topk", fraction=0.01), 80),  # 10 entries, 4 bytes each and 4 for where
        (TopK(kind="topk", fraction=1e-9), 8),
        (RandK(kind="randk", fraction=0.01), 40),  # both sides draw where
        (RandK(kind="randk", fraction=1e-9), 4),
        (Qsgd(kind="qsgd", levels=1, bucket=1000), 254),  # 3 values, 2 bits: 250; one norm
        (Qsgd(kind="qsgd", levels=7), 508),  # 15 values, 4 bits: 500; two norms
        (Qsgd(kind="qsgd", levels=16), 758),  # 33 values, 6 bits
        (Qsgd(kind="qsgd", levels=127), 1008),
        (Qsgd(kind="qsgd", levels=128), 1133),  # 257 values, 9 bits: 1125
    ],
)
def test_bytes_follow_from_the_length_and_the_scheme(scheme: Any, size: int) -> None:
    assert scheme.size(1000) == size
    if scheme.kind in ("none", "bf16", "qsgd"):
        assert Compression(download=scheme).download_bytes(1000, 3) == size + 12
    assert Compression(upload=scheme).upload_bytes(1000, 3) == size + 12


def test_qsgd_is_unbiased_and_its_variance_is_bounded() -> None:
    vector = vec(0.9, -0.3, 0.05, 0.0, 2.0, -1.1)
    scheme, draws = Qsgd(kind="qsgd", levels=2), 4000
    found = np.array(
        [
            compressed(scheme, vector, Streams(3), "compression.upload", k % 40, k // 40).numpy()
            for k in range(draws)
        ]
    )
    errors = found - vector.numpy()
    # Six means; together they miss by chance with a probability of at most 1e-5.
    quantile = stats.norm.isf(1e-5 / 12)
    spread = found.std(axis=0, ddof=1) / math.sqrt(draws)
    assert (np.abs(errors.mean(axis=0)) <= quantile * spread + 1e-7).all()
    assert (spread[[0, 1, 2, 4, 5]] > 0).all()
    # Lemma 3.1: E||Q(v) - v||^2 <= min(n / s^2, sqrt(n) / s) ||v||^2.
    n, s, square = len(vector), 2, float((vector**2).sum())
    assert (errors**2).sum(axis=1).mean() <= min(n / s**2, math.sqrt(n) / s) * square


def test_rand_k_sends_the_entries_of_the_smallest_draws_scaled_up() -> None:
    vector, draws = vec(3, -5, 1, 2), np.array([0.4, 0.1, 0.9, 0.2])
    assert rand_k(vector, draws, 2).tolist() == [0, -10, 0, 4]
    assert rand_k(vector, draws, 1).tolist() == [0, -20, 0, 0]
    assert rand_k(vector, draws, 4).tolist() == vector.tolist()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_over_all_draws_rand_k_is_unbiased_and_has_its_variance(k: int) -> None:
    vector = vec(3, -5, 1, 2)
    subsets = list(combinations(range(4), k))
    found = torch.stack(
        [rand_k(vector, 1 - np.isin(range(4), chosen).astype(float), k) for chosen in subsets]
    )
    torch.testing.assert_close(found.mean(0), vector)
    spread = ((found - vector) ** 2).sum(1).mean()
    omega = Compression(upload=RandK(kind="randk", fraction=k / 4)).variance(4)
    assert omega == 4 / k - 1
    assert float(spread) == pytest.approx(omega * float((vector**2).sum()))


def test_the_variance_is_known_where_the_compression_is_unbiased_and_simple() -> None:
    assert Compression().variance(1000) == 0
    assert Compression(upload=RandK(kind="randk", fraction=0.01)).variance(1000) == 99
    for scheme in (TopK(kind="topk"), Qsgd(kind="qsgd"), BFloat16(kind="bf16")):
        assert Compression(upload=scheme).variance(1000) is None


@pytest.mark.parametrize("scheme", [RandK(kind="randk", fraction=0.3), Qsgd(kind="qsgd", levels=1)])
def test_several_messages_have_draws_of_their_own_and_the_server_gets_their_mean(
    scheme: Any,
) -> None:
    streams, vector = Streams(1), torch.linspace(-1, 1, 10)
    draws = streams.generator("x", 3, 5)
    each = []
    for _ in range(3):
        if isinstance(scheme, RandK):
            each.append(rand_k(vector, draws.random(10), 3))
        else:
            uniform = torch.from_numpy(draws.random(10, dtype="float32"))
            each.append(quantized(vector, uniform, 1, scheme.bucket))
    assert not torch.equal(each[0], each[1])
    found = compressed(scheme, vector, streams, "x", 3, 5, messages=3)
    torch.testing.assert_close(found, torch.stack(each).mean(0))
    assert torch.equal(compressed(scheme, vector, streams, "x", 3, 5), each[0])


def test_random_rounding_is_a_function_of_client_and_task() -> None:
    scheme, vector = Qsgd(kind="qsgd", levels=1), torch.linspace(-1, 1, 50)

    def rounded(client: int, task: int, seed: int = 1) -> list[float]:
        return compressed(scheme, vector, Streams(seed), "x", client, task).tolist()

    assert rounded(2, 3) == rounded(2, 3)
    assert all(rounded(2, 3) != other for other in (rounded(3, 3), rounded(2, 4), rounded(2, 3, 2)))


# -- what a client keeps ---------------------------------------------------------------------------


class AlwaysTheSame:
    """Training that moves a model of two parameters by (3, 2), and its buffer by 1."""

    layout = flat_layout(2, buffers=1)

    def train(
        self, client: int, task: int, steps: int, start: Tensor, anchor: Tensor, lr_factor: float
    ) -> LocalResult:
        self.start, self.anchor = start.tolist(), anchor.tolist()
        moved = vec(3, 2) if steps else vec(0, 0)
        return LocalResult(start + torch.cat([moved, vec(1)]), moved, 1.0)


def compressor(gradient: bool = False, **spec: Any) -> Compressor:
    return Compressor(Compression(**spec), Streams(1), gradient)


ONE_ENTRY = TopK(kind="topk", fraction=0.5)


def task(steps: int = 1) -> TrainingTask:
    return TrainingTask(0, 0, steps, vec(10, 20, 30), 1.0)


def runner(compressor: Compressor) -> TaskRunner:
    trainer: Any = AlwaysTheSame()
    return TaskRunner(trainer, trainer, compressor)


def test_error_feedback_by_hand() -> None:
    run = runner(compressor(upload=ONE_ENTRY))
    first = run.train(task(), None)
    assert first.delta.tolist() == [3, 0]
    assert first.vector.tolist() == [13, 20, 31, 0, 2]  # what arrived, the buffer, what is owed
    second = run.train(task(), first.vector)  # (3, 2) + (0, 2)
    assert second.delta.tolist() == [0, 4]
    assert second.vector.tolist() == [10, 24, 31, 3, 0]
    third = run.train(task(steps=0), second.vector)  # no step, and still what is owed
    assert third.delta.tolist() == [3, 0]
    assert third.vector[3:].tolist() == [0, 0]
    without = runner(compressor(upload=TopK(kind="topk", fraction=0.5, error_feedback=False)))
    assert without.train(task(), None).vector.tolist() == [13, 20, 31]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_an_update_that_is_not_finite_leaves_what_is_owed(wrong: float) -> None:
    feeding_back = compressor(upload=ONE_ENTRY)
    sent, owed = feeding_back.uploaded(vec(wrong, 1), vec(0, 2), 0, 0)
    assert not math.isfinite(sent[0])
    assert owed is not None
    assert owed.tolist() == [0, 2]
    assert feeding_back.uploaded(vec(wrong, 1), None, 0, 0)[1] is None
    # So a client whose update the server's guard refuses can take part again.
    assert feeding_back.uploaded(vec(1, 1), owed, 0, 1)[0].tolist() == [0, 3]


def test_a_gradient_is_compressed_and_leaves_the_model() -> None:
    result = runner(compressor(gradient=True, upload=ONE_ENTRY)).train(task(), None)
    assert result.delta.tolist() == [3, 0]
    assert result.vector.tolist() == [13, 22, 31, 0, 2]


def test_a_client_begins_at_the_model_that_it_got() -> None:
    trainer: Any = AlwaysTheSame()
    run = TaskRunner(trainer, trainer, compressor(download="bf16"))
    base = vec(1 + 2**-8, 256.5, 1 + 2**-20)
    result = run.train(TrainingTask(0, 0, 1, base, 1.0), None)
    assert trainer.start == [1, 256, 1 + 2**-20]  # the buffer as it is
    assert trainer.anchor == [1, 256]
    assert result.delta.tolist() == [3, 2]


def test_what_is_owed_counts_once_an_update_has_arrived() -> None:
    trainer: Any = AlwaysTheSame()
    executor = InlineExecutor(trainer, trainer, compressor(upload=ONE_ENTRY))
    strategy: Any = FedAvg()
    learner = TrainingLearner(
        strategy,
        executor,
        vec(0, 0, 0),
        flat_layout(2, buffers=1),
        Population(3, lambda client: 1),
        lambda base_version: 1.0,
        lambda *row: None,
        feeds_back=True,
    )

    def send(number: int, client: int = 0) -> Task:
        dispatch = Task(client, number, 0, 1, 1, 0)
        learner.start(dispatch, None)
        return dispatch

    def arrived(dispatch: Task) -> list[float]:
        learner.arrive(dispatch)
        delta: list[float] = learner.measure(lambda all: all[0].delta.tolist(), [dispatch], 1)
        return delta

    cancelled = send(0)
    learner.drop(cancelled)
    assert arrived(send(1)) == [3, 0]  # owes (0, 2)
    discarded = send(2)
    learner.arrive(discarded)
    learner.drop(discarded)  # it arrived: the client has sent (0, 4) and owes (3, 0)
    assert arrived(send(3)) == [6, 0]
    assert arrived(send(0, client=1)) == [3, 0]


def test_a_strategy_does_not_see_what_is_owed() -> None:
    trainer: Any = AlwaysTheSame()
    strategy: Any = FedAvg()
    learner = TrainingLearner(
        strategy,
        InlineExecutor(trainer, trainer, compressor(upload=ONE_ENTRY)),
        vec(0, 0, 0),
        flat_layout(2, buffers=1),
        Population(1, lambda client: 1),
        lambda base_version: 1.0,
        lambda *row: None,
        feeds_back=True,
    )
    dispatch = Task(0, 0, 0, 1, 1, 0)
    learner.start(dispatch, None)
    seen = learner.measure(lambda all: (all[0].params.tolist(), all[0].client_state), [dispatch], 1)
    assert seen == ([3, 0], None)
    learner.arrive(dispatch)
    learner.aggregate([dispatch], 1, {})
    assert learner.vector.tolist() == [3, 0, 1]


# -- runs ------------------------------------------------------------------------------------------


def small(scheme: str, *more: str) -> Scenario:
    settings = [f"training.compression={SCHEMES[scheme]}", "stop.updates=25"]
    network = "clients.network={upload: {bandwidth: 20000}, download: {bandwidth: 1.0e5}}"
    return load_scenario(SMALLEST, [*settings, network, "evaluation.samples=100", *more])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_wherever_a_run_trains_and_however_often_it_breaks_off_it_is_the_same(
    scheme: str, tmp_path: Path
) -> None:
    whole = simulate(small(scheme))
    asked = iter([False, True, False, True, *[False] * 99])
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        simulate(small(scheme), run, stop_wanted=lambda: next(asked))
    with pytest.raises(KeyboardInterrupt):
        resume(run, stop_wanted=lambda: next(asked))
    resumed = resume(run)
    elsewhere = simulate(small(scheme, "execution={executor: processes, workers: 2}"))
    timed = simulate(small(scheme), timing_only=True)
    for other in (resumed, elsewhere):
        assert other.summary["model_digest"] == whole.summary["model_digest"]
    for other in (resumed, elsewhere, timed):
        assert other.summary["schedule_digest"] == whole.summary["schedule_digest"]
    assert resumed.events.equals(whole.events)


def test_groups_that_train_together_compress_each_for_itself(tmp_path: Path) -> None:
    together = small("topk", "numerics={mode: batched}")
    whole = simulate(together)
    asked = iter([False, True, *[False] * 99])
    with pytest.raises(KeyboardInterrupt):
        simulate(together, tmp_path / "run", stop_wanted=lambda: next(asked))
    resumed = resume(tmp_path / "run")
    assert resumed.summary["model_digest"] == whole.summary["model_digest"]
    alone = simulate(small("topk"))
    assert whole.summary["schedule_digest"] == alone.summary["schedule_digest"]
    for name, part in whole.model().items():
        np.testing.assert_allclose(part, alone.model()[name], atol=5e-3)


@pytest.mark.parametrize(
    ("scheme", "down", "up"),
    [
        ("topk", 31_400, 8 * 392),  # 7,850 parameters, of which 392 are one in twenty
        ("qsgd", 7850 + 64, 3925 + 64),  # 8 bits and 4 bits; 16 buckets
        ("bf16", 15_700, 15_700),
        ("randk", 31_400, 4 * 392),
    ],
)
def test_the_bytes_are_in_the_log_and_take_their_time(scheme: str, down: int, up: int) -> None:
    run = simulate(small(scheme), timing_only=True)
    events = run.events
    assert set(events["bytes"][events["kind"] == "downloaded"]) == {down}
    assert set(events["bytes"][events["kind"] == "arrived"]) == {up}
    tasks = run.tasks.dropna(subset=["arrived"])
    assert set(tasks["downloaded"] - tasks["dispatched"]) == {round(down / 1e5 * 1e6)}
    assert set(tasks["arrived"] - tasks["computed"]) == {round(up / 20000 * 1e6)}


def test_compression_changes_the_model_and_still_learns() -> None:
    accuracy = {}
    for scheme in ("bf16", "topk", "topk without memory"):
        run = simulate(small(scheme, "stop.updates=100", "evaluation.samples=1000"))
        accuracy[scheme] = run.summary["final"]["accuracy"]
    assert accuracy["bf16"] > 0.7
    assert accuracy["topk"] > accuracy["topk without memory"]


def test_a_strategy_whose_clients_keep_models_refuses_compressed_updates() -> None:
    quafl = "strategy={kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 1}"
    with pytest.raises(
        ScenarioError, match=r"compression\.upload: the clients of quafl keep a model"
    ):
        small("topk", quafl)
    with pytest.raises(ScenarioError, match=r"compression\.download"):
        load_scenario(SMALLEST, ["training.compression={download: {kind: topk}}"])
    run = simulate(
        load_scenario(
            SMALLEST,
            [
                quafl,
                "training.compression={download: bf16}",
                "stop.updates=6",
                "evaluation.samples=100",
            ],
        )
    )
    assert run.status == "complete"


def test_a_bucket_beyond_the_vector_is_one_that_holds_all_of_it() -> None:
    vector, uniform = vec(0.3, -0.4, 1.2), vec(0.1, 0.5, 0.9)
    expected = quantized(vector, uniform, 4, 3)
    assert torch.equal(quantized(vector, uniform, 4, 10**15), expected)
