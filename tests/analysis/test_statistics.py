"""Intervals over replications against cases worked out by hand; where a warm-up ends."""

import math

import numpy as np
import pandas as pd
import pytest
from fake_runs import fake_run
from scipy.stats import nct, t
from steady import steady_state, warm_up

from afl_sim.analysis.replications import groups, paired_runs, pairs
from afl_sim.analysis.statistics import detectable_difference, median_time, student_interval
from afl_sim.analysis.steady import steady_state_of
from afl_sim.analysis.warm_up import BATCH
from afl_sim.recording import EventLog, MetricsLog, RunFolder, load_run
from afl_sim.recording.columns import columns_of
from afl_sim.world.event_kinds import (
    AGGREGATED,
    ARRIVED,
    CANCELLED,
    DISPATCHED,
    DOWNLOADED,
    QUEUED,
    STARTED,
)


def test_the_interval_is_students_on_a_case_by_hand():
    # Mean 4, deviations -2 0 2: s = 2. Of two degrees of freedom the quantile has a closed form.
    interval = student_interval([2.0, 4.0, 6.0])
    half = 0.95 * math.sqrt(2 / (1 - 0.95**2)) * 2 / math.sqrt(3)
    assert (interval.mean, interval.n) == (4.0, 3)
    assert interval.low == pytest.approx(4 - half, rel=1e-12)
    assert interval.high == pytest.approx(4 + half, rel=1e-12)


@pytest.mark.parametrize(("n", "power"), [(5, 0.8), (20, 0.8), (8, 0.5)])
def test_a_difference_that_is_detectable_is_seen_as_often_as_is_said(n: int, power: float) -> None:
    distance = detectable_difference(n, power)
    draws = np.random.default_rng(3).normal(size=(40_000, n + 1))
    known, more = draws[:, :-1], draws[:, -1] + distance
    half = t.ppf(0.975, n - 1) * known.std(axis=1, ddof=1) * math.sqrt(1 + 1 / n)
    seen = abs(more - known.mean(axis=1)) > half
    assert np.mean(seen) == pytest.approx(power, abs=0.01)  # four standard errors
    edge = t.ppf(0.975, n - 1)
    exact = 1 - nct.cdf(edge, n - 1, distance / math.sqrt(1 + 1 / n))
    assert exact == pytest.approx(power, abs=0.002)


def test_a_detectable_difference_of_many_values_is_that_of_the_normal_distribution() -> None:
    # 1.960 + 0.842: the quantiles at .975 and .8
    assert detectable_difference(100_000) == pytest.approx(2.8016, abs=0.001)
    assert detectable_difference(2) > detectable_difference(3) > detectable_difference(80) > 2.8


def test_another_confidence_takes_another_quantile():
    values = [1.0, 2.0, 3.0, 4.0, 10.0]
    half = t.ppf(0.95, 4) * np.std(values, ddof=1) / math.sqrt(5)
    interval = student_interval(values, confidence=0.9)
    assert (interval.low, interval.high) == pytest.approx((4 - half, 4 + half))


def test_one_value_has_no_interval_and_none_no_mean():
    alone, empty = student_interval([3.0]), student_interval([])
    assert (alone.mean, alone.n, alone.is_known) == (3.0, 1, False)
    assert math.isnan(empty.mean)
    assert empty.n == 0


def test_equal_values_have_an_interval_of_no_width():
    interval = student_interval([0.1] * 7)
    assert interval.low == interval.mean == interval.high == pytest.approx(0.1)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    # 2000 samples of 5 normal values: 95 % of the intervals hold the mean, +- 4.5 standard errors.
    rng = np.random.default_rng(0)
    found = [student_interval(rng.normal(7.0, 2.0, 5).tolist()) for _ in range(2000)]
    covered = np.mean([one.low <= 7.0 <= one.high for one in found])
    assert abs(covered - 0.95) < 4.5 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize(
    ("times", "median"),
    [
        ([3.0, None, 1.0], 3.0),
        ([3.0, 1.0], 2.0),
        ([None, 1.0], None),  # half did not reach it
        ([None, None, 1.0], None),
        ([5.0], 5.0),
        ([], None),
    ],
)
def test_a_median_counts_what_was_not_reached_as_later_than_all(times, median):
    assert median_time(times) == median


def test_the_warm_up_ends_where_a_ramp_does():
    rng = np.random.default_rng(1)
    steady = 10 + rng.normal(0, 0.5, 900)
    series = np.concatenate([np.linspace(0, 10, 100), steady])
    assert 80 <= warm_up(series) <= 120


def test_the_warm_up_minimises_mser_by_brute_force():
    series = np.random.default_rng(2).exponential(1.0, 300) + np.linspace(3, 0, 300) ** 2
    means = series.reshape(-1, BATCH).mean(axis=1)
    errors = [np.var(means[cut:]) / (len(means) - cut) for cut in range(len(means) // 2 + 1)]
    assert warm_up(series) == BATCH * int(np.argmin(errors))


def test_nothing_is_cut_of_short_or_constant_series():
    assert warm_up(np.arange(49.0)) == 0
    assert warm_up(np.zeros(1000)) == 0
    assert warm_up(np.full(1000, 0.1)) == 0


def test_steady_state_by_hand(tmp_path):
    """Two clients at most at work: both for 4 s, then one for 4 s, then one for 2 s of 2."""
    second = 1_000_000
    log = EventLog()
    log.append(0, DISPATCHED, 0, 0, 0, 0)
    log.append(0, DISPATCHED, 1, 0, 0, 0)
    log.append(4 * second, ARRIVED, 0, 0, 0, 0)
    log.append(4 * second, AGGREGATED, 0, 0, 1, 0, 0)
    log.append(8 * second, CANCELLED, 1, 0, 1, 0)
    log.append(8 * second, DISPATCHED, 0, 1, 1, 1)
    log.append(10 * second, ARRIVED, 0, 1, 1, 1)
    log.append(10 * second, AGGREGATED, 0, 1, 2, 1, 1)
    found = steady_state(log.frame())
    assert found == pytest.approx(
        {
            "warm_up_seconds": 0.0,
            "steady_staleness": 0.5,
            "steady_utilisation": (2 * 4 + 4 + 2) / (2 * 10),
            "steady_throughput": 0.2,
        }
    )


def test_a_task_that_waits_in_its_clients_queue_is_not_at_work():
    """Two tasks of one client, 4 s and 5 s, sent together; a third comes at 6 s and stays there."""
    second = 1_000_000
    log = EventLog()
    for task, sent in enumerate([0, 0, 6]):
        if task == 2:
            log.append(4 * second, ARRIVED, 0, 0, 0, 0)
            log.append(4 * second, STARTED, 0, 1, 0, 0)
            log.append(4 * second, AGGREGATED, 0, 0, 1, 0, 0)
        log.append(sent * second, DISPATCHED, 0, task, 0, 0)
        log.append(sent * second, DOWNLOADED, 0, task, 0, 0)
        if task:
            log.append(sent * second, QUEUED, 0, task, 0, 0)
    log.append(9 * second, ARRIVED, 0, 1, 1, 0)
    log.append(9 * second, AGGREGATED, 0, 1, 2, 0, 1)
    assert steady_state(log.frame())["steady_utilisation"] == pytest.approx(9 / (2 * 9))


def test_a_warm_up_is_cut_from_all_three_at_the_same_time():
    """Staleness 0 for 60 updates and 3 for 300; a second client is at work only afterwards."""
    second = 1_000_000
    log = EventLog()
    log.append(0, DISPATCHED, 9, 0, 0, 0)
    for update in range(360):
        now = (update + 1) * second if update < 60 else (60 * 2 + (update - 59)) * second // 2
        log.append(now, AGGREGATED, 0, update, update + 1, 0, 0 if update < 60 else 3)
        if update == 59:
            log.append(now, DISPATCHED, 8, 0, 0, 0)
    found = steady_state(log.frame())
    assert found["warm_up_seconds"] == 60.0
    assert found["steady_staleness"] == 3.0
    assert found["steady_utilisation"] == pytest.approx(1.0)
    assert found["steady_throughput"] == pytest.approx(2.0)


def test_a_short_log_is_read_once_and_gives_what_its_parts_give():
    second = 1_000_000
    log = EventLog()
    log.append(0, DISPATCHED, 9, 0, 0, 0)
    for update in range(360):
        log.append((update + 1) * second, AGGREGATED, 0, update, update + 1, 0, 3 * (update >= 60))
    whole, asked = log.frame(), []

    def read(rows):
        def batches(names):
            asked.append(rows)
            yield from (columns_of(whole[i : i + rows], names) for i in range(0, 361, rows))

        return batches

    found = steady_state_of(read(361))
    assert found["warm_up_seconds"] == 60.0
    assert steady_state_of(read(50)) == found
    assert asked == [361, 50, 50]


def test_a_run_that_aggregated_nothing_has_no_steady_state():
    log = EventLog()
    log.append(0, DISPATCHED, 0, 0, 0, 0)
    assert set(steady_state(log.frame()).values()) == {None}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return [
        fake_run(folder / f"{kind}-r{r}", label=f"{kind}-r{r}", strategy=kind, seed=r, updates=30)
        for kind in ("fedavg", "fedbuff")
        for r in range(3)
    ]


def test_runs_that_differ_in_their_seed_are_one_group(study):
    found = groups(study)
    assert [(group.label, len(group.runs)) for group in found] == [("fedavg", 3), ("fedbuff", 3)]
    assert pairs(found) == [(found[1], found[0])]


def test_the_same_run_twice_is_no_replication(study, tmp_path):
    twin = fake_run(tmp_path / "twin", label="fedavg-r0", strategy="fedavg", seed=0, updates=30)
    found = groups([*study[:3], twin])
    assert [len(group.runs) for group in found] == [3, 1]
    assert len({group.label for group in found}) == 2


def test_runs_are_paired_by_their_seed(study, tmp_path):
    other = fake_run(tmp_path / "other", strategy="fedasync", seed=2, updates=30)
    fedavg, fedbuff, alone = groups([*study[::-1], other])
    assert [
        (one.scenario["seed"], two.scenario["seed"]) for one, two in paired_runs(fedavg, fedbuff)
    ] == [
        (2, 2),
        (1, 1),
        (0, 0),
    ]
    assert len(paired_runs(alone, fedavg)) == 1


def test_swept_seeds_are_replications(tmp_path):
    runs = [
        fake_run(tmp_path / f"{n}", label=f"seed={n}_fedavg", strategy="fedavg", seed=n, updates=20)
        for n in (11, 12)
    ]
    assert [group.label for group in groups(runs)] == ["fedavg"]


def test_strategies_are_compared_within_the_other_settings(tmp_path):
    runs = []
    for clients in (20, 40):
        for kind in ("fedavg", "fedbuff"):
            name = f"{kind}-{clients}"
            options = {"label": name, "strategy": kind, "clients": clients, "updates": 10}
            runs.append(fake_run(tmp_path / name, **options))
    found = [(a.label, b.label) for a, b in pairs(groups(runs))]
    assert found == [("fedbuff-20", "fedavg-20"), ("fedbuff-40", "fedavg-40")]
    alone = [(a.label, b.label) for a, b in pairs(groups(runs[::2]))]
    assert alone == [("fedavg-40", "fedavg-20")]


def test_of_many_settings_each_is_compared_with_the_first(tmp_path):
    kinds = ("a", "b", "c", "d", "e")
    runs = [fake_run(tmp_path / kind, strategy=kind, updates=10) for kind in kinds]
    members = groups(runs)
    assert [a.first.strategy for a, _ in pairs(members)] == ["b", "c", "d", "e"]
    assert {b.first.strategy for _, b in pairs(members)} == {"a"}
    assert len(pairs(members[:4])) == 6


def test_a_folder_without_events_still_has_a_summary_to_measure(tmp_path):
    folder = RunFolder.create(tmp_path / "a", "name: a\nstrategy: {kind: fedavg}\n", {})
    with EventLog(folder.events_path), MetricsLog(folder.metrics_path):
        pass
    events = load_run(folder.path).events
    assert isinstance(events, pd.DataFrame)
    assert steady_state(events)["steady_staleness"] is None
