"""Every oracle of `afl_sim.theory`, against runs of the engine; the formulas, by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from comparisons import COMPARISONS, Comparisons
from places import ROOT
from scipy.integrate import quad

from afl_sim.errors import InputError
from afl_sim.theory import formulas, jackson
from afl_sim.theory.oracle import Oracle
from afl_sim.theory.oracles import chosen, oracles
from afl_sim.theory.report import Row, measure

PAGE = ROOT / "docs" / "theory.md"


@pytest.mark.parametrize("oracle", oracles(), ids=lambda oracle: oracle.name)
def test_the_engine_holds_to_theory(oracle: Oracle, compare: Comparisons) -> None:
    compare.mean(oracle.measured(), oracle.exact, oracle.mistakes, what=oracle.formula)


def test_names_are_unique_and_every_oracle_can_be_proved_wrong() -> None:
    names = [oracle.name for oracle in oracles()]
    assert len(set(names)) == len(names) <= COMPARISONS
    assert all(oracle.mistakes for oracle in oracles())


def test_oracles_are_chosen_by_the_first_parts_of_their_names() -> None:
    assert chosen([]) == oracles()
    rounds = [oracle.name for oracle in chosen(["rounds"])]
    assert rounds
    assert all(name.startswith("rounds.") for name in rounds)
    assert [o.name for o in chosen(["rounds.first"])] == ["rounds.first"]
    with pytest.raises(InputError, match=r"no oracle 'round'.*did you mean 'rounds'"):
        chosen(["round"])


def test_the_page_shows_every_oracle_and_what_its_command_prints() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [line.split(" | ") for line in lines if line.endswith("` |")]
    assert [row[-1] for row in table] == [f"`afl-sim theory {o.name}` |" for o in oracles()]
    assert {row[-2] for row in table} == {"holds"}
    for oracle, row in list(zip(oracles(), table, strict=True))[::9]:
        found, _ = oracle.verdict()
        assert row[1:3] == [f"{oracle.exact:.6g}", f"{found.mean:.6g} ± {found.half_width:.2g}"]


def test_a_missed_value_and_an_interval_without_power_are_told_apart() -> None:
    (oracle,) = chosen(["rounds.first"])
    assert measure(oracle).holds
    for exact, mistakes, verdict in (
        (oracle.exact * 2, (), "missed"),
        (oracle.exact, (oracle.exact * 1.001,), "too wide"),
    ):
        other = Oracle("x", "y", exact, oracle.experiment, oracle.statistic, mistakes)
        row: Row = measure(other)
        assert row.verdict == verdict
        assert not row.holds


# -- formulas by hand ------------------------------------------------------------------------------


def test_the_rate_of_uploads_by_hand() -> None:
    # T = (1, 2, 3), M = 2: e_1 = 6, e_2 = 2 + 3 + 6 = 11; (3 - 2 + 1) * 6 / 11.
    assert formulas.upload_rate(2, [1, 2, 3]) == pytest.approx(12 / 11)
    # One task at a time: N / sum T. All busy: sum 1/T.
    assert formulas.upload_rate(1, [1, 2, 3]) == pytest.approx(3 / 6)
    assert formulas.upload_rate(3, [1, 2, 3]) == pytest.approx(1 + 1 / 2 + 1 / 3)


@pytest.mark.parametrize("times", [[2.0], [1.0, 1.0, 1.0], [0.5, 2.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
def test_the_slowest_of_exponentials_is_the_integral(times: list[float]) -> None:
    exact, _ = quad(lambda t: 1 - np.prod([1 - np.exp(-t / time) for time in times]), 0, np.inf)
    assert formulas.slowest_of(times) == pytest.approx(exact)
    assert formulas.slowest_of([3.0] * 4) == pytest.approx(3 * formulas.harmonic(4))


def test_queues_by_hand() -> None:
    assert formulas.erlang_c(1, 0.6) == pytest.approx(0.6)  # one server: whoever finds it busy
    assert formulas.erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert formulas.multiserver_time(1, 0.6, 1.0) == pytest.approx(1 / (1.0 - 0.6))
    # Exponential services in M/G/1 are M/M/1; constant ones wait half as long.
    assert formulas.single_server_time(0.6, 1.0, 2.0) == pytest.approx(2.5)
    assert formulas.single_server_time(0.6, 1.0, 1.0) == pytest.approx(1.75)
    # One client alternates: 1 / (1/l + 1/mu). Ten: the published figure.
    assert formulas.repair_rate(1, 0.1, 0.5) == pytest.approx(1 / 12)
    assert formulas.repair_rate(10, 0.1, 0.5) == pytest.approx(0.49081, abs=5e-6)


def test_closed_networks_by_hand() -> None:
    # r = (1, 2), two tasks: 1, 1 + 2, 1 + 2 + 4.
    assert formulas.buzen([1.0, 2.0], 2) == [1.0, 3.0, 7.0]
    assert formulas.network_rate(2, [1.0, 2.0]) == pytest.approx(3 / 7)
    # x_2 is 0, 1, 2 with probabilities 1/7, 2/7, 4/7.
    assert formulas.mean_queue(1, 2, [1.0, 2.0]) == pytest.approx(10 / 7)
    # One client computes without a pause; one task is where it is in proportion to r.
    assert formulas.network_rate(5, [0.25]) == pytest.approx(4)
    assert formulas.mean_queue(1, 1, [1.0, 2.0, 5.0]) == pytest.approx(2 / 8)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_closed_networks_are_sums_over_all_placements(m: int) -> None:
    ratios = [0.3, 0.5, 1.4]
    places = [x for x in product(range(m + 1), repeat=3) if sum(x) == m]
    weights = [np.prod([r**k for r, k in zip(ratios, x, strict=True)]) for x in places]
    assert formulas.buzen(ratios, m)[m] == pytest.approx(sum(weights))
    busy = sum(w for w, x in zip(weights, places, strict=True) if x[1]) / sum(weights)
    assert ratios[1] * formulas.network_rate(m, ratios) == pytest.approx(busy)
    mean = sum(w * x[1] for w, x in zip(weights, places, strict=True)) / sum(weights)
    assert formulas.mean_queue(1, m, ratios) == pytest.approx(mean)


@pytest.mark.parametrize("m", [1, 4, 9])
def test_clients_drawn_by_speed_have_equally_many_tasks(m: int) -> None:
    # All r_i are equal: every placement is as likely, so that E_m[x_i] = m/n, the delay of client
    # i is (m - 1)/(n p_i), and the rate is that of all clients at work times m/(n + m - 1).
    times = [0.5, 1.0, 2.0, 4.0]
    p = jackson.probabilities(times, "speed")
    ratios = [share * time for share, time in zip(p, times, strict=True)]
    assert formulas.network_rate(m, ratios) == pytest.approx(3.75 * m / (4 + m - 1))
    for client in range(4):
        assert formulas.mean_queue(client, m, ratios) == pytest.approx(m / 4)


def test_contacts_by_hand() -> None:
    assert formulas.capped_poisson(1, 2.0) == pytest.approx(1 - np.exp(-2))
    assert formulas.capped_poisson(60, 4.0) == pytest.approx(4.0)
    assert formulas.all_have_appeared([0.5]) == pytest.approx(2.0)
    # 2 + 2 - 1/(1 - 1/4) = 8/3; and as the sum over periods.
    assert formulas.all_have_appeared([0.5, 0.5]) == pytest.approx(8 / 3)
    p = np.array([0.5, 0.2, 0.8])
    terms = [1 - np.prod(1 - (1 - p) ** t) for t in range(400)]
    assert formulas.all_have_appeared(p.tolist()) == pytest.approx(sum(terms))
