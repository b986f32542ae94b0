"""Distributions: what their forms mean, what is refused, and that draws are pure and repeatable."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import calls

from afl_sim.errors import ScenarioError
from afl_sim.scenario import Distribution
from afl_sim.scenario.distributions.distribution import SignedDistribution

UNIFORMS = np.array([2.0**-53, 1e-9, 0.01, 0.25, 0.5, 0.9, 0.999, 1 - 1e-9])


def D(form: Any, base: Path | None = None) -> Distribution:
    return Distribution(form, base)


def refusal(form: Any, base: Path | None = None) -> str:
    with pytest.raises(ScenarioError) as caught:
        Distribution(form, base)
    return str(caught.value)


CLOSED_FORMS = [
    ("expon", {"scale": 3.0}),
    ("uniform", {"loc": 1.0, "scale": 2.0}),
    ("lognorm", {"s": 0.8, "scale": 12.0}),
    ("halfnorm", {"scale": 5.0}),
    ("gamma", {"a": 20.0, "scale": 0.05}),
    ("weibull_min", {"c": 1.7, "scale": 2.0, "loc": 0.5}),
    ("pareto", {"b": 2.5}),
    ("truncnorm", {"a": -2.0, "b": 3.0, "loc": 4.0, "scale": 2.0}),
    ("truncnorm", {"a": 1.5, "b": 9.0}),
    ("randint", {"low": 1.0, "high": 21.0}),
]


@pytest.mark.parametrize(("name", "parameters"), CLOSED_FORMS)
def test_closed_forms_agree_with_scipy(name: str, parameters: dict[str, float]) -> None:
    import scipy.stats

    ours, theirs = D({"dist": name, **parameters}), getattr(scipy.stats, name)(**parameters)
    inner = UNIFORMS[1:]
    np.testing.assert_allclose(ours.quantiles(inner), theirs.ppf(inner), rtol=2e-8, atol=1e-12)
    assert ours.mean() == pytest.approx(theirs.mean(), rel=1e-12)


@pytest.mark.parametrize(("name", "parameters"), CLOSED_FORMS)
def test_one_draw_and_many_draws_are_the_same_bits(name: str, parameters: dict[str, float]) -> None:
    distribution = D({"dist": name, **parameters})
    one_by_one = [distribution.quantile(u) for u in UNIFORMS.tolist()]
    assert distribution.quantiles(UNIFORMS).tolist() == one_by_one
    assert all(type(value) in (float, int) for value in one_by_one)


@pytest.mark.parametrize(
    ("a", "b"), [(0, 10), (-3, 40), (-40, 0), (-8.5, 8.5), (30, 99), (-99, -30)]
)
def test_a_truncated_normal_draws_up_to_the_ends_of_a_stream(a: float, b: float) -> None:
    law = D({"dist": "truncnorm", "a": a, "b": b, "loc": 1e4, "scale": 0.5})
    ends = [1e4 + a / 2, *(law.quantile(u) for u in (2.0**-53, 0.5, 1 - 2.0**-53)), 1e4 + b / 2]
    assert ends == sorted(ends)


def test_any_other_scipy_name_works_too() -> None:
    import scipy.stats

    beta = D({"dist": "beta", "a": 2, "b": 3})
    assert beta.quantile(0.3) == pytest.approx(scipy.stats.beta(2, 3).ppf(0.3))
    assert D({"dist": "poisson", "mu": 3}).quantile(0.5) == 3.0


def test_a_number_is_itself() -> None:
    three = D(3)
    assert three.quantile(0.1) == three.mean() == three.constant == 3.0
    assert three.length is None
    assert three.quantiles([0.1, 0.2]).tolist() == [3.0, 3.0]


def test_a_sequence_follows_the_task_number_and_holds_its_last_value() -> None:
    sequence = D({"sequence": [3, 1, 4]})
    assert [sequence.quantile(0.5, client=9, k=k) for k in range(5)] == [3, 1, 4, 4, 4]
    assert sequence.mean() == 4
    assert sequence.constant is None
    assert D({"sequence": [2, 2]}).constant == 2


def test_values_give_each_client_its_own() -> None:
    values = D({"values": [1, {"dist": "expon", "scale": 2}, {"sequence": [5, 6]}]})
    assert values.length == 3
    assert values.quantile(0.5, client=0) == 1
    assert values.quantile(0.5, client=1) == pytest.approx(2 * math.log(2))
    assert values.quantile(0.5, client=2, k=1) == 6
    assert values.quantiles([0.5, 0.5], np.array([2, 0])).tolist() == [5, 1]
    assert values.mean(1) == 2
    assert values.constant is None
    assert D({"values": [2, 2]}).constant == 2


def test_parameters_may_differ_by_client() -> None:
    noise = D({"dist": "halfnorm", "scale": {"values": [1, 2, 3]}})
    assert noise.length == 3
    assert noise.quantile(0.4, client=2) == pytest.approx(3 * noise.quantile(0.4, client=0))
    assert noise.mean(1) == pytest.approx(2 * math.sqrt(2 / math.pi))
    both = noise.quantiles([0.4, 0.4], np.array([0, 2]))
    assert both.tolist() == [noise.quantile(0.4, 0), noise.quantile(0.4, 2)]


def test_a_mixture_spends_one_uniform_on_component_and_draw() -> None:
    mixture = D({"mixture": [{"weight": 3, "dist": "uniform"}, {"weight": 1, "dist": 7.0}]})
    assert mixture.quantile(0.375) == pytest.approx(0.5)  # the middle of the first component
    assert mixture.quantile(0.76) == 7.0
    assert mixture.mean() == pytest.approx(0.75 * 0.5 + 0.25 * 7)
    many = mixture.quantiles(np.linspace(0.001, 0.999, 4001))
    assert many.mean() == pytest.approx(mixture.mean(), abs=0.01)
    assert np.isfinite(mixture.quantiles(UNIFORMS)).all()


def test_a_mixture_may_nest_any_form() -> None:
    mixture = D(
        {
            "mixture": [
                {"weight": 1, "sequence": [1, 2]},
                {"weight": 1, "dist": {"values": [8, 9]}},
            ]
        }
    )
    assert mixture.quantile(0.2, client=1, k=1) == 2
    assert mixture.quantile(0.8, client=1) == 9
    assert mixture.length == 2


def test_a_trace_is_resampled_or_read_by_client(tmp_path: Path) -> None:
    (tmp_path / "phones.csv").write_text("model,seconds\na,4\nb,1\nc,2.5\n")
    sampled = D({"trace": "phones.csv", "column": "seconds"}, tmp_path)
    assert [sampled.quantile(u) for u in (0.1, 0.5, 0.9)] == [1, 2.5, 4]
    assert sampled.quantiles([0.1, 0.5, 0.9]).tolist() == [1, 2.5, 4]
    assert sampled.mean() == 2.5
    assert sampled.length is None
    by_client = D({"trace": "phones.csv", "column": "seconds", "by": "client"}, tmp_path)
    assert [by_client.quantile(0.5, client=i) for i in range(3)] == [4, 1, 2.5]
    assert by_client.length == 3


def test_a_parquet_trace_reads_like_a_csv_one(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"seconds": [4.0, 1.0]}), tmp_path / "t.parquet")
    assert D({"trace": "t.parquet"}, tmp_path).quantile(0.2) == 1


def test_a_trace_pins_the_content_it_was_read_from(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("s\n1\n2\n")
    form = D({"trace": "t.csv"}, tmp_path).form
    assert D(form).form == form  # complete: it needs no base folder any more
    file.write_text("s\n1\n3\n5\n")
    assert "has changed" in refusal(form)


FORMS = [
    3.0,
    {"dist": "gamma", "a": 20.0, "scale": 0.05},
    {"dist": "halfcauchy", "allow_heavy_tail": True},
    {"dist": "halfnorm", "scale": {"values": [1.0, 2.0]}},
    {"sequence": [3.0, 1.0]},
    {"values": [1.0, {"dist": "expon"}]},
    {"mixture": [{"weight": 0.9, "dist": "expon"}, {"weight": 0.1, "dist": 3.0}]},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_forms_survive_being_written_and_pickled(form: Any) -> None:
    distribution = D(form)
    assert distribution.form == form
    assert D(distribution.form) == distribution
    assert hash(D(form)) == hash(distribution)
    copy = pickle.loads(pickle.dumps(distribution))
    assert copy == distribution
    assert copy.quantile(0.3, 1, 1) == distribution.quantile(0.3, 1, 1)


@pytest.mark.parametrize(
    "form",
    [
        -30.0,
        {"dist": "uniform", "loc": -30.0, "scale": 20.0},
        {"dist": "truncnorm", "a": -2.0, "b": -1.0},
        {"sequence": [-1.0, -1.0]},
        {"values": [-1.0, {"dist": "uniform", "loc": -3.0}]},
        {"mixture": [{"weight": 0.5, "dist": -1.0}, {"weight": 0.5, "dist": -2.0}]},
    ],
    ids=str,
)
def test_a_signed_distribution_takes_numbers_below_0_in_every_form(form: Any) -> None:
    law = SignedDistribution(form)
    assert all(law.quantile(u, client) < 0 for u in (0.1, 0.9) for client in (0, 1))
    assert law.quantiles([0.1, 0.9], [1, 1]).tolist() == [law.quantile(u, 1) for u in (0.1, 0.9)]
    copy = pickle.loads(pickle.dumps(law))
    assert type(copy) is SignedDistribution
    assert copy == law
    assert "expected 0 or more" in refusal(form)


def test_a_signed_distribution_takes_numbers_below_0_from_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "angles.csv"
    file.write_text("degrees\n-90\n45\n")
    law = SignedDistribution({"trace": "angles.csv", "by": "client"}, tmp_path)
    assert [law.quantile(0.5, client) for client in (0, 1)] == [-90, 45]
    assert "degrees is '-90'; expected a finite number, 0 or more" in refusal(
        {"trace": "angles.csv"}, tmp_path
    )
    file.write_text("degrees\n-inf\n")
    with pytest.raises(ScenarioError, match=r"degrees is '-inf'; expected a finite number$"):
        SignedDistribution({"trace": "angles.csv"}, tmp_path)
    with pytest.raises(ScenarioError, match="norm has no lower end; expected a family that has"):
        SignedDistribution({"dist": "norm"})


def test_a_distribution_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        D(3).form = 4.0


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"dist": "gama", "a": 1}, "dist: scipy.stats has no distribution 'gama'; did you mean"),
        ({"dist": "gamma"}, "gamma is missing its shape 'a'; it takes a, loc, scale"),
        ({"dist": "gamma", "a": 1, "scal": 2}, "scal: unknown key; expected one of"),
        ({"dist": "gamma", "a": -1}, "a: got -1; expected more than 0"),
        ({"dist": "beta", "a": -1, "b": 2}, "a: got -1; expected more than 0"),
        ({"dist": "gamma", "a": 1, "scale": 0}, "scale: got 0; expected more than 0"),
        ({"dist": "gamma", "a": "1"}, "a: got '1'; expected a number"),
        ({"dist": "gamma", "a": True}, "a: got true; expected a number"),
        ({"dist": "gamma", "a": math.nan}, "a: got nan; expected a finite number"),
        ({"dist": "norm", "loc": 5}, "reaches below 0 (its support starts at -inf)"),
        ({"dist": "uniform", "loc": -1}, "reaches below 0 (its support starts at -1)"),
        ({"dist": "halfcauchy"}, "no finite mean with these shapes; allow_heavy_tail: true"),
        ({"dist": "pareto", "b": 1}, "no finite mean"),
        ({"dist": "pareto", "b": 0.001, "allow_heavy_tail": True}, "does not give finite numbers"),
        ({"dist": "lognorm", "s": 1000}, "does not give finite numbers"),
        ({"dist": "randint", "low": 5, "high": 5}, "high: got 5; expected more than low"),
        ({"dist": "randint", "low": 1.5, "high": 5}, "low: got 1.5; expected a whole number"),
        ({"dist": "poisson", "mu": 1, "scale": 2}, "scale: unknown key"),
        ({"dist": 3}, "dist: got 3; expected the name"),
        (-1, "got -1; expected 0 or more"),
        (math.inf, "got inf; expected a finite number"),
        (None, "got nothing; expected a number, or a block"),
        ("fast", "got 'fast'; expected a number, or a block"),
        ({}, "does not describe a distribution; expected a number, or a block"),
        ({"sequnce": [1]}, "did you mean 'sequence'?"),
        ({"sequence": []}, "sequence: got an empty list"),
        ({"sequence": [1, -2]}, "sequence.1: got -2; expected 0 or more"),
        ({"sequence": [1], "values": [1]}, "has both sequence and values"),
        ({"values": [1, {"values": [2]}]}, "values.1.values: a list of clients inside a list"),
        ({"mixture": [{"dist": "expon"}]}, "mixture.0: missing key 'weight'"),
        ({"mixture": [{"weight": 0, "dist": "expon"}]}, "weight: got 0; expected a number above 0"),
        ({"mixture": 3}, "mixture: got 3; expected a list of blocks"),
        (
            {"dist": "gamma", "a": {"values": [1, 2]}, "scale": {"values": [1, 2, 3]}},
            "lists for 2 and for 3 clients",
        ),
        ({"dist": "gamma", "a": {"values": [1, -2]}}, "a: client 1: got -2"),
        ({"values": [1, 2], "shuffle": "yes"}, "shuffle: got 'yes'; expected true or false"),
        ({"sequence": [1, 2], "shuffle": True}, "shuffle: unknown key"),
        (
            {"mixture": [{"weight": 1, "values": [1, 2], "shuffle": True}]},
            "mixture.0.shuffle: only a whole distribution is shuffled",
        ),
        (
            {"trace": "none.csv", "shuffle": True},
            "shuffle: needs by: client, because a sample has no order",
        ),
        (
            {"dist": "expon", "scale": {"trace": "x.csv", "by": "client", "shuffle": True}},
            "scale.shuffle: only a whole distribution is shuffled, not a part of one",
        ),
    ],
)
def test_refusals_say_where_and_what_was_expected(form: Any, said: str) -> None:
    assert said in refusal(form)


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("a,b\n1,2\n", None, "column: missing"),
        ("a,b\n1,2\n", "bb", "did you mean 'b'?"),
        ("a\n1\nx\n", "a", "t.csv:3: a is 'x'; expected a finite number, 0 or more"),
        ("a\n-1\n", "a", "t.csv:2: a is '-1'"),
        ("a\n", "a", "has no rows"),
        ("", "a", "t.csv is empty; expected a header row"),
    ],
)
def test_bad_traces_are_refused(tmp_path: Path, text: str, column: str | None, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    form = {"trace": "t.csv"} if column is None else {"trace": "t.csv", "column": column}
    assert said in refusal(form, tmp_path)


def test_missing_and_unreadable_traces_are_refused(tmp_path: Path) -> None:
    assert "there is no file" in refusal({"trace": "no.csv"}, tmp_path)
    assert "is a folder" in refusal({"trace": "."}, tmp_path)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    assert "is UTF-16 text; expected UTF-8" in refusal({"trace": "b.csv"}, tmp_path)
    (tmp_path / "b.csv").write_bytes(b"a\n\xe9\n")
    assert "b.csv:2: not UTF-8 text (byte 0xe9)" in refusal({"trace": "b.csv"}, tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"nothing like it")
    assert "not readable as Parquet" in refusal({"trace": "b.parquet"}, tmp_path)


def test_all_mistakes_of_one_distribution_are_told_together() -> None:
    lines = refusal({"values": [-1, {"dist": "gama"}, {"sequence": ["x"]}]}).split("\n")
    assert [line.split(":")[0] for line in lines] == [
        "values.0",
        "values.1.dist",
        "values.2.sequence.0",
    ]


@pytest.mark.parametrize(
    ("form", "positive"),
    [
        (0, False),
        (1, True),
        ({"dist": "expon"}, True),
        ({"dist": "poisson", "mu": 2}, False),
        ({"dist": "randint", "low": 1, "high": 3}, True),
        ({"values": [1, 0]}, False),
        ({"mixture": [{"weight": 1, "dist": 0.0}, {"weight": 1, "dist": "expon"}]}, False),
    ],
)
def test_a_distribution_knows_whether_it_can_be_zero(form: Any, positive: bool) -> None:
    assert D(form).positive is positive


def test_a_shuffled_list_waits_for_its_order() -> None:
    written = D({"values": [1, 2, {"dist": "expon", "scale": 3}], "shuffle": True})
    assert written.shuffles
    assert D(written.form) == written
    dealt = written.reordered([2, 0, 1])
    assert [dealt.mean(client) for client in range(3)] == [3, 1, 2]
    assert not dealt.shuffles
    assert D(dealt.form) == dealt
    assert not D({"values": [1, 2], "shuffle": False}).shuffles


def test_a_column_keeps_its_unit_and_whose_numbers_are_whose(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("client,ms,late\nb,1500,1\na,9,2\n")
    own = {"trace": "t.csv", "column": "ms", "by": "client", "number_clients": "in_order"}
    read = D({**own, "factor": 0.001}, tmp_path)
    assert [read.mean(client) for client in range(2)] == [0.009, 1.5]
    for again in (D(read.form), pickle.loads(pickle.dumps(read))):
        assert again == read
        assert again.mean(0) == 0.009
    assert "factor" not in D({**own, "factor": 1}, tmp_path).form
    sampled = D({"trace": "t.csv", "column": "ms", "factor": 0.001}, tmp_path)
    assert sampled.mean() == (0.009 + 1.5) / 2
    assert set(sampled.form) == {"trace", "column", "by", "factor", "sha256"}
    scale = D({"dist": "halfnorm", "scale": {**own, "factor": 0.001}}, tmp_path)
    assert scale == D({"dist": "halfnorm", "scale": {"values": [0.009, 1.5]}})
    assert D({**own, "shuffle": True}, tmp_path).reordered([1, 0]).mean(0) == 1500


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"factor": 0}, ["factor: got 0; expected a number above 0"]),
        ({"factor": "ms"}, ["factor: got 'ms'; expected a number above 0"]),
        ({"factor": math.inf}, ["factor: got inf; expected a finite number"]),
        ({"number_clients": "inorder"}, ["number_clients: got 'inorder'; expected in_order; did"]),
        ({"number_clients": "in_order"}, ["number_clients: needs by: client; a sample belongs"]),
        (
            {"number_clients": "in_order", "by": "client"},
            ["number_clients: ", "no column 'client'"],
        ),
        (
            {"factor": -1, "sha256": 3, "colum": "a"},
            ["colum: unknown key", "sha256: got 3; expected text", "factor: got -1"],
        ),
    ],
)
def test_keys_beside_a_column_are_told_by_their_name(
    keys: dict[str, Any], told: list[str], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    message = refusal({"trace": "t.csv", **keys}, tmp_path)
    assert all(each in message for each in told)


def test_parameters_may_be_columns_of_a_trace(tmp_path: Path) -> None:
    (tmp_path / "noise.csv").write_text("level,scale\n7,1\n8,2\n9,4\n")
    column = {"trace": "noise.csv", "column": "scale", "by": "client"}
    noise = D({"dist": "halfnorm", "scale": column}, tmp_path)
    assert noise == D({"dist": "halfnorm", "scale": {"values": [1, 2, 4]}})
    level = D({"trace": "noise.csv", "column": "level", "by": "client", "shuffle": True}, tmp_path)
    assert D(level.form) == level
    assert [level.reordered([1, 2, 0]).mean(client) for client in range(3)] == [8, 9, 7]
    assert "scale.column" in refusal(
        {"dist": "halfnorm", "scale": {**column, "column": "scal"}}, tmp_path
    )


def test_a_law_that_many_clients_share_is_made_once() -> None:
    def wide(clients: int) -> SignedDistribution:
        b = {"values": [3, 4] * (clients // 2)}
        return D({"dist": "betabinom", "n": 20_000, "a": 2, "b": b})

    law = wide(1000)
    assert calls(lambda: wide(1000)) < 2 * calls(lambda: wide(2))  # a table takes 80,000 calls
    assert law.quantile(0.3, client=0) == law.quantile(0.3, client=998)
    assert law.quantile(0.3, client=0) != law.quantile(0.3, client=1)
