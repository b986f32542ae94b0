"""Whatever the bytes of a scenario file, a reader gets a study or a ScenarioError, nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from afl_sim.errors import ScenarioError
from afl_sim.scenario import Catalogue, dump_scenario, read_study, scenario_id

VALID = """\
name: base
data: {partition: {kind: sizes, sizes: [50, 60]}}
training: {epochs: 2, batch_size: full, lr_schedule: {kind: step, every: 3, factor: 0.5}}
clients:
  count: 2
  compute:
    seconds_per_sample: {values: [0.01, {dist: lognorm, s: 1.0, scale: 0.01}]}
    jitter: {mixture: [{weight: 0.9, dist: expon}, {weight: 0.1, dist: 3.0}]}
  network: &n
    upload: {latency: 0.05, bandwidth: 1e6}
strategy: {kind: plain, size: 3, ratio: 0.5}
evaluation: {every_seconds: 60, targets: [0.9]}
stop: {updates: 300}
sweep:
  strategy: [plain, {kind: plain, size: 2}]
  clients.network: [*n, {}]
"""


class Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Plain(Block):
    kind: str = "plain"
    size: int = 1
    ratio: float = 1.0


class SGD(Block):
    kind: str = "SGD"
    lr: float = 0.05


class Lenet(Block):
    kind: str = "lenet"


CATALOGUE = Catalogue({"plain": Plain}, {"lenet": Lenet}, {"SGD": SGD})

quiet = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SNIPPETS = [
    *"{}[]:,-\"'#&*!|>%@`?\t\n ",
    *("<<: ", "*n", "&n ", "!!int ", "!x ", "---\n", "null", "true", "-1", "0", "1e999", ".nan"),
    *("9" * 30, "9" * 5000, "'3'", "kind", "values", "mixture", "dist: ", "{values: [1, 2]}"),
    *("{trace: /}", "{sequence: []}", "{dist: gamma, a: -1}", '"\\ud800"', '"\\UFFFFFFFF"'),
    *("\x00", "\x07", "\x85", "\u2028", "é", "\U0001f600", "[" * 60, "{a: " * 60),
]
KEYS = ["clients", "count", "network", "0", "strategy", "kind", "sweep", "training", "lr", "stop"]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid scenario with a few pieces cut out, repeated, or replaced by trouble."""
    text = VALID
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(SNIPPETS) | st.just(text[start : start + 40]))
        text = text[:start] + piece + text[end:]
    return text


overrides = st.lists(
    st.builds(
        lambda keys, value: ".".join(keys) + "=" + value,
        st.lists(st.sampled_from(KEYS), min_size=0, max_size=4),
        st.sampled_from(SNIPPETS) | st.text(max_size=10),
    )
    | st.text(max_size=20),
    max_size=2,
)


def read(file: Path, settings: list[str]) -> None:
    """Load; whichever way it goes, hold it to its promises."""
    try:
        study = read_study(file, CATALOGUE, settings)
    except ScenarioError as error:
        place = re.compile(rf"(?:{re.escape(str(file))}:[1-9]\d*|--set[^:\n]*.*?): ")
        for line in str(error).split("\n"):
            assert place.match(line), line
            assert line.isprintable()
            assert "pydantic" not in line.lower()
            assert "Input should" not in line
        return
    case = study.cases[-1].scenario
    again = read_study(dump_scenario(case), CATALOGUE).cases[0].scenario
    assert again == case
    assert scenario_id(again) == scenario_id(case)


@quiet
@given(content=st.binary(max_size=200))
@example(content=b"\xff\xfe\x00")
@example(content=b"\xef\xbb\xbf")
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(content)
    read(file, [])


@quiet
@given(text=st.text(max_size=200) | st.text(alphabet="{}[]:,-&*a1 \n\t'\"!|>?#%", max_size=80))
@example(text="[" * 100_000)
@example(text="{a: " * 3_000)
@example(text="- " * 3_000)
@example(text="a: &a [*a]")
@example(text="a0: &a0 1\n" + "".join(f"a{i}: &a{i} [[[[*a{i - 1}]]]]\n" for i in range(1, 900)))
def test_any_text(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    read(file, [])


@quiet
@given(text=mutated(), settings=overrides)
@example(text=VALID, settings=["training" + ".a" * 3000 + "=1"])
@example(text=VALID + "  training" + ".a" * 3000 + ": [1]", settings=[])
@example(text=VALID, settings=["clients.network.upload=3", "a=b", "="])
def test_almost_valid_scenarios(tmp_path: Path, text: str, settings: list[str]) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    read(file, settings)


def test_the_starting_point_is_valid() -> None:
    assert len(read_study(VALID, CATALOGUE).cases) == 4


@pytest.mark.parametrize("settings", [["strategy.size=x"], ["=" * 1000], ["\x00=\x00"]])
def test_overrides_of_any_kind_are_refused_in_plain_lines(settings: list[str]) -> None:
    with pytest.raises(ScenarioError):
        read_study(VALID, CATALOGUE, settings)
