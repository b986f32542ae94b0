"""Random draws are pure functions of their address, uniform, and independent across addresses."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from afl_sim.streams import Streams, stochastic_round

PURPOSES = ("compute.level", "compute.jitter", "selection", "a", "")
index = st.integers(0, 2**32 - 1)
N = 20_000


def block(purpose: str = "compute.jitter", seed: int = 1, clients: int = 200) -> np.ndarray:
    """Draws of many clients' first tasks, shape (clients, N / clients)."""
    ks = np.arange(N // clients)
    return Streams(seed).uniforms(purpose, np.arange(clients)[:, None], ks)


def test_streams_that_have_drawn_travel_to_another_process() -> None:
    here = Streams(3)
    first = [here.uniform("compute.jitter", 7, k) for k in range(200)]
    there = pickle.loads(pickle.dumps(here))
    assert [there.uniform("compute.jitter", 7, k) for k in range(200)] == first


# -- addresses -----------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1), st.sampled_from(PURPOSES), st.lists(index), st.lists(index))
def test_draws_of_arrays_are_those_of_scalars_bit_for_bit(
    seed: int, purpose: str, clients: list[int], ks: list[int]
) -> None:
    streams = Streams(seed)
    pairs = list(zip(clients, ks, strict=False))
    one_by_one = [streams.uniform(purpose, client, k) for client, k in pairs]
    together = streams.uniforms(purpose, [c for c, _ in pairs], [k for _, k in pairs])
    assert together.tolist() == one_by_one


def test_arrays_of_addresses_broadcast() -> None:
    streams = Streams(3)
    table = streams.uniforms("a", np.arange(4)[:, None], np.arange(5))
    assert table.shape == (4, 5)
    assert table[3, 2] == streams.uniform("a", 3, 2)
    assert np.array_equal(streams.uniforms("a", 3, np.arange(5)), table[3])
    assert streams.uniforms("a").shape == ()
    assert streams.uniforms("a", []).shape == (0,)


def test_the_order_of_asking_changes_nothing() -> None:
    addresses = [(p, c, k) for p in PURPOSES for c in range(5) for k in range(5)]
    forward, backward = Streams(9), Streams(9)
    draws = {address: forward.uniform(*address) for address in addresses}
    forward.uniforms("a", range(100))
    forward.generator("a").random(10)
    assert {a: backward.uniform(*a) for a in reversed(addresses)} == draws
    assert {a: forward.uniform(*a) for a in addresses} == draws


def test_draws_stay_in_the_open_interval() -> None:
    draws = Streams(0).uniforms("a", np.arange(1000)[:, None], np.arange(1000))
    assert 0 < draws.min() < 1e-5
    assert 1 - 1e-5 < draws.max() < 1


def test_the_ends_of_the_range_of_addresses_differ() -> None:
    streams = Streams(2**63 - 1)
    last = 2**32 - 1
    corners = [streams.uniform("a", client, k) for client in (0, last) for k in (0, last)]
    assert len(set(corners)) == 4
    assert all(0 < draw < 1 for draw in corners)


def test_every_part_of_an_address_counts() -> None:
    base = Streams(7).uniform("a", 1, 2)
    others = [
        Streams(8).uniform("a", 1, 2),
        Streams(7).uniform("b", 1, 2),
        Streams(7).uniform("a", 2, 2),
        Streams(7).uniform("a", 1, 3),
        Streams(7).uniform("a", 2, 1),
    ]
    assert len({base, *others}) == 6


@pytest.mark.parametrize("word", ["integer", "generator"])
def test_seeds_and_generators_have_addresses_too(word: str) -> None:
    def first(*address: object, seed: int = 7) -> int:
        drawn = getattr(Streams(seed), word)(*address)
        return drawn if word == "integer" else int(drawn.integers(2**62))

    assert first("a", 1, 2) == first("a", 1, 2)
    addresses = [("a", 1, 2), ("a", 2, 1), ("a", 12, 0), ("a", 1, 0), ("b", 1, 2), ("a/1", 2, 0)]
    assert len({first(*address) for address in addresses} | {first("a", 1, 2, seed=8)}) == 7


def test_an_integer_is_a_seed_for_torch() -> None:
    drawn = [Streams(seed).integer("init", 0, k) for seed in range(20) for k in range(50)]
    assert len(set(drawn)) == 1000
    assert all(0 <= value < 2**63 for value in drawn)
    assert stats.kstest(np.array(drawn) / 2**63, "uniform").pvalue > 1e-3


# -- uniformity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_draws_are_uniform(purpose: str, seed: int) -> None:
    streams = Streams(seed)
    samples = {
        "by client": streams.uniforms(purpose, np.arange(N)),
        "by task": streams.uniforms(purpose, 3, np.arange(N)),
        "both": block(purpose, seed).ravel(),
    }
    for name, draws in samples.items():
        assert stats.kstest(draws, "uniform").pvalue > 1e-4, name


@pytest.mark.parametrize("stride", [2, 256, 2**16, 2**20])
def test_draws_on_a_grid_of_addresses_are_uniform(stride: int) -> None:
    steps = np.arange(2**11) * stride
    for draws in (Streams(1).uniforms("a", steps), Streams(1).uniforms("a", 0, steps)):
        assert stats.kstest(draws, "uniform").pvalue > 1e-4


def test_draws_are_uniform_over_purposes_and_over_seeds() -> None:
    over_seeds = [Streams(seed).uniform("compute.level") for seed in range(2000)]
    streams = Streams(1)
    over_purposes = [streams.uniform(f"strategy.{i}") for i in range(2000)]
    for draws in (over_seeds, over_purposes):
        assert stats.kstest(draws, "uniform").pvalue > 1e-4


def test_the_last_bits_are_fair_coins() -> None:
    bits = (block().ravel() * 2**52).astype(np.uint64)
    for shift in range(1, 53):
        ones = int(((bits >> np.uint64(shift - 1)) & np.uint64(1)).sum())
        assert abs(ones - N / 2) < 5 * np.sqrt(N / 4), f"bit {shift - 1}"


# -- independence --------------------------------------------------------------------------------


def uncorrelated(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the correlation is within 4.5 standard errors of none."""
    return bool(abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4.5 / np.sqrt(a.size))


def test_neighbouring_addresses_are_uncorrelated() -> None:
    draws = block()
    for lag in (1, 2, 3, 16, 64):
        assert uncorrelated(draws[:, lag:], draws[:, :-lag]), f"tasks {lag} apart"
        assert uncorrelated(draws[lag:], draws[:-lag]), f"clients {lag} apart"
    assert uncorrelated(draws[1:, 1:], draws[:-1, :-1])
    square = block(clients=141)[:, :141]
    above = np.triu_indices(141, 1)
    assert uncorrelated(square[above], square.T[above]), "client and task exchanged"


def test_purposes_and_seeds_are_uncorrelated() -> None:
    for other in (block("compute.level"), block("compute.jitter_seconds"), block(seed=2)):
        assert uncorrelated(block(), other)
    assert uncorrelated(block(seed=0), block(seed=2**32))


def test_pairs_of_draws_fill_the_square_evenly() -> None:
    """A serial test: neighbours in k, in client, in purpose and in seed, on a 16 x 16 grid."""
    draws = block()
    pairs = {
        "task": (draws[:, :-1], draws[:, 1:]),
        "client": (draws[:-1], draws[1:]),
        "purpose": (draws, block("compute.level")),
        "seed": (draws, block(seed=2)),
    }
    for name, (a, b) in pairs.items():
        cells = (a * 16).astype(int) * 16 + (b * 16).astype(int)
        counts = np.bincount(cells.ravel(), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-4, name


def test_first_draws_of_clients_are_independent_of_their_second() -> None:
    # The level is a client's draw 0: a weak mixing of the client's bits would show here.
    clients = np.arange(N)
    first, second = (Streams(1).uniforms("compute.level", clients, k) for k in (0, 1))
    assert uncorrelated(first, second)
    assert uncorrelated(first[1:], first[:-1])
    runs = np.sum((first[1:-1] - first[:-2]) * (first[2:] - first[1:-1]) < 0)  # turning points
    expected, variance = 2 * (N - 2) / 3, (16 * N - 29) / 90
    assert abs(runs - expected) < 4.5 * np.sqrt(variance)


def test_draws_collide_as_often_as_birthdays_do() -> None:
    """Of m draws put into d days, m^2 / 2d pairs share a day, and Poisson many spacings repeat."""
    days, draws = 2**40, 2**14
    for values in (
        Streams(1).uniforms("a", np.arange(draws)),
        Streams(1).uniforms("a", 0, np.arange(draws)),
        Streams(1).uniforms("a", np.arange(2**7)[:, None], np.arange(2**7)).ravel(),
    ):
        birthdays = np.sort((values * days).astype(np.int64))
        spacings = np.sort(np.diff(birthdays))
        repeated = int(np.sum(np.diff(spacings) == 0))
        assert stats.poisson(draws**3 / (4 * days)).sf(repeated - 1) > 1e-5
    million = Streams(1).uniforms("a", np.arange(1000)[:, None], np.arange(1000))
    assert len(np.unique(million)) == 10**6  # of 2^52 values: 1e-4 pairs are expected to be equal


# -- golden --------------------------------------------------------------------------------------


def test_squares_agrees_with_its_definition() -> None:
    """The generator written out as in the paper, in Python's unbounded integers."""

    def squares64(counter: int, key: int) -> int:
        mask = 2**64 - 1
        x = y = counter * key & mask
        z = (y + key) & mask
        for add in (y, z, y):
            x = (x * x + add) & mask
            x = (x >> 32) | (x << 32) & mask
        t = x = (x * x + z) & mask
        x = (x >> 32) | (x << 32) & mask
        return t ^ (((x * x + y) & mask) >> 32)

    streams = Streams(5)
    key = streams._key("a")
    assert key % 2 == 1
    for client, k in ((0, 0), (0, 1), (1, 0), (17, 3), (2**32 - 1, 2**32 - 1)):
        bits = squares64(client * 2**32 + k, key)
        assert streams.uniform("a", client, k) == ((bits >> 12) + 0.5) / 2**52


def test_draws_of_one_seed_are_what_they_always_were() -> None:
    streams = Streams(1)
    draws = [streams.uniform("compute.jitter", client, 2).hex() for client in range(3)]
    assert draws == ["0x1.f804e78d30f61p-1", "0x1.36fdabdc8b21dp-1", "0x1.bdbbae24001e5p-1"]
    assert streams.integer("init") == 3724116029092901298
    raw = streams.generator("batches", 3, 1).bit_generator.random_raw(2)
    assert raw.tolist() == [418202280695024535, 15255831214057637648]


# -- rounding at random --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.001, 0.1, 0.5, 0.9, 1.0, 2.25, 7.999, 1e6 + 0.125])
def test_the_mean_of_a_number_rounded_at_random_is_the_number(value: float) -> None:
    cells = 1000
    found = [stochastic_round(value, (i + 0.5) / cells) for i in range(cells)]
    assert sum(found) / cells == pytest.approx(value, rel=0, abs=1e-9)
    assert set(found) <= {int(value), int(value) + 1}


@pytest.mark.parametrize("value", [3, 0.1 * 30, 0.29 * 100, 1e9])
def test_a_whole_number_is_not_rounded_at_random(value: float) -> None:
    # 0.1 * 30 is a little more than 3 in floating point, 0.29 * 100 a little less than 29.
    assert {stochastic_round(value, u) for u in (2**-53, 0.5, 1 - 2**-53)} == {round(value)}


def test_draws_that_are_made_ahead_are_the_same() -> None:
    plain, ahead = Streams(5), Streams(5)
    ahead.draw_ahead("a")
    ahead.make("a", np.array([3, 4, 3]), np.array([0, 7, 1]))
    asked = [(3, 0), (3, 1), (4, 7), (3, 1), (9, 2), (2**32 - 1, 40)]
    asked += [(8, k) for k in (*range(28, 200), 33, 150, 2**32 - 65)]
    for client, k in asked:
        assert ahead.uniform("a", client, k) == plain.uniform("a", client, k)
        assert ahead.uniform("b", client, k) == plain.uniform("b", client, k)


def test_draws_that_nobody_asks_for_do_not_add_up() -> None:
    streams = Streams(5)
    streams.draw_ahead("a")
    for first in range(0, 40_000, 1000):
        streams.make("a", np.arange(first, first + 1000), 0)
    assert len(streams._made["a"]) <= 18_000


def test_generators_of_clients_in_a_row_are_those_of_single_clients() -> None:
    streams = Streams(11)

    def draws(generator: np.random.Generator) -> list[float]:
        # An odd number of 32-bit integers leaves half a word behind.
        return [*generator.integers(7, size=3, dtype=np.int32).tolist(), *generator.random(5)]

    clients = (0, 5, 2**32 + 1)
    found = [draws(generator) for generator in streams.generators("p", clients)]
    assert found == [draws(streams.generator("p", client)) for client in clients]


def test_a_generator_is_the_philox_of_its_key_and_can_be_copied() -> None:
    streams = Streams(3)
    key = np.array(streams._digest("p", 4, 9), dtype=np.uint64)
    wanted = np.random.Generator(np.random.Philox(key=key)).random(9).tolist()
    generator = streams.generator("p", 4, 9)
    copies = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))]
    assert [each.random(9).tolist() for each in (generator, *copies)] == [wanted] * 3
