"""What a right scenario means: defaults, short forms, numbers, sweeps, overrides, round trips."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from scenario_fakes import BASE, CATALOGUE, Average, Buffered, Hinge, Own

from afl_sim.scenario import (
    Distribution,
    Scenario,
    UncheckedBlock,
    dump_scenario,
    json_schema,
    read_study,
    scenario_id,
)
from afl_sim.scenario.sections.clients import Clients
from afl_sim.streams import Streams

FULL = """\
name: full
description: |
  Two lines: with a colon,
  and 'quotes' "of" both kinds # no comment
seed: 12
data:
  partition: {kind: dirichlet, alpha: 0.3}
  validation: 0.1
model: {kind: mlp, hidden: [20, 10]}
training:
  steps: {dist: randint, low: 1, high: 20}
  batch_size: full
  optimizer: {kind: SGD, lr: 1e-3}
  lr_schedule: {kind: step, every: 10, factor: 0.5}
  clip_norm: 1e0
  loss: nll
clients:
  count: 2
  compute:
    seconds_per_sample: {values: [0.01, {dist: lognorm, s: 1.0, scale: 0.01}]}
    jitter: {dist: gamma, a: 20, scale: 0.05}
    jitter_seconds: {dist: halfnorm, scale: {values: [1, 2]}}
  network:
    download: {latency: 0.05, bandwidth: 1.0e6}
    upload: {jitter: {sequence: [0.1, 0.2]}, bandwidth: {dist: lognorm, s: 0.8, scale: 2.5e5}}
  availability: always
server:
  aggregation_seconds: {mixture: [{weight: 0.9, dist: expon}, {weight: 0.1, dist: 3.0}]}
strategy: {kind: buffered, concurrency: all, staleness: {kind: hinge, a: 10, b: 4}}
evaluation: {every_seconds: 60, on: validation, targets: [0.5]}
stop: {virtual_seconds: 1e4, accuracy: 0.99}
"""


def scenario(text: str, *overrides: str, seed: int | None = None) -> Scenario:
    study = read_study(text, CATALOGUE, overrides, seed)
    assert not study.is_study
    return study.cases[0].scenario


def labels(sweep: str) -> list[str]:
    return [case.label for case in read_study(f"{BASE}sweep: {sweep}\n", CATALOGUE).cases]


def test_what_is_left_out_has_its_default() -> None:
    s = scenario(BASE)
    assert (s.name, s.seed, s.replications, s.sweep) == ("base", 7, 1, None)
    assert s.training.epochs == Distribution(1.0)
    assert s.training.steps is None
    assert s.training.batch_size == 32
    assert (s.training.optimizer.kind, s.training.optimizer.lr) == ("SGD", 0.05)
    assert s.model.kind == "lenet"
    assert s.clients.network.upload.bandwidth is None
    assert s.clients.network.upload.latency.constant == 0
    assert s.evaluation.targets == (0.9, 0.95)
    assert Clients(count=1).compute.speed == Distribution(1.0)
    assert Clients(count=1).compute.unit == "task"


def test_blocks_are_read_by_the_classes_of_the_catalogue() -> None:
    full = scenario(FULL)
    assert full.strategy == Buffered(concurrency="all", staleness=Hinge(kind="hinge", a=10, b=4))
    assert full.model.hidden == (20, 10)
    assert full.clients.compute.unit == "sample"


def test_a_kind_alone_stands_for_its_block() -> None:
    s = scenario(BASE.replace("{kind: average, clients_per_round: 4}", "average"))
    assert s.strategy == Average()


def test_a_class_of_your_own_is_named_by_its_module() -> None:
    own = scenario(BASE.replace("average, clients_per_round: 4", "my.module:Own, strength: 2"))
    assert own.strategy == Own(kind="my.module:Own", strength=2)
    assert scenario(dump_scenario(own)) == own


def test_without_a_catalogue_blocks_are_kept_as_written() -> None:
    s = read_study(BASE, None).cases[0].scenario
    assert isinstance(s.strategy, UncheckedBlock)
    assert s.strategy.model_dump() == {"kind": "average", "clients_per_round": 4}


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1e-3", 0.001), ("1E-3", 0.001), ("1e0", 1), ("+2.5e-1", 0.25), (".5", 0.5), ("1_000", 1000)],
)
def test_numbers_are_the_numbers_they_look_like(written: str, meant: float) -> None:
    s = scenario(f"{BASE}training: {{optimizer: {{kind: SGD, lr: {written}}}}}\n")
    assert s.training.optimizer.lr == meant


def test_a_count_may_be_written_with_an_exponent() -> None:
    assert scenario(BASE.replace("updates: 20", "updates: 1e3")).stop.updates == 1000


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "1:30", "2020-01-01", "0123"])
def test_words_are_words(word: str) -> None:
    assert scenario(f"{BASE}description: {word}\n").description == word


def test_the_key_on_is_a_word_too() -> None:
    s = scenario(f"{BASE}data: {{validation: 0.1}}\nevaluation:\n  on: validation\n")
    assert s.evaluation.on == "validation"


@pytest.mark.parametrize("text", [BASE, FULL], ids=["base", "full"])
def test_a_dumped_scenario_loads_to_an_equal_one(text: str) -> None:
    s = scenario(text)
    again = scenario(dump_scenario(s))
    assert again == s
    assert dump_scenario(again) == dump_scenario(s)
    assert scenario_id(again) == scenario_id(s)


def test_a_dumped_scenario_means_the_same_to_any_yaml_reader() -> None:
    s = scenario(FULL)
    assert yaml.safe_load(dump_scenario(s)) == s.model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize(
    "text", ["1e-3", "on", "null", "3", "~", "", "a: b", "# x", "é\U0001f600", "  x ", "a\n\nb\t"]
)
def test_any_description_survives_a_dump(text: str) -> None:
    s = scenario(BASE).model_copy(update={"description": text})
    assert scenario(dump_scenario(s)).description == text


def test_every_default_is_written_out() -> None:
    dumped = yaml.safe_load(dump_scenario(scenario(BASE)))
    of_the_file = {"design"}  # no run has it
    assert set(dumped) == set(Scenario.model_fields) - set(Scenario._later) - of_the_file
    assert dumped["training"]["optimizer"] == {"kind": "SGD", "lr": 0.05, "nesterov": False}
    assert dumped["clients"]["network"]["upload"] == {
        "latency": 0.0,
        "bandwidth": None,
        "jitter": 1.0,
        "loss": 0.0,
    }


def test_the_id_depends_on_results_not_on_where_tasks_run() -> None:
    s = scenario(BASE)
    assert len(scenario_id(s)) == 8
    assert int(scenario_id(s), 16) >= 0
    assert scenario_id(scenario(BASE + "execution: {executor: inline}\n")) == scenario_id(s)
    assert scenario_id(scenario(BASE, seed=8)) != scenario_id(s)
    assert scenario_id(scenario(BASE, "training.epochs=1.0")) == scenario_id(s)


def test_a_trace_is_found_beside_the_scenario_and_counts_by_content(tmp_path: Path) -> None:
    ids = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.csv").write_text("s\n1\n2\n")
        file = tmp_path / folder / "s.yaml"
        file.write_text(BASE.replace("2.0", "{trace: t.csv}"))
        s = read_study(file, CATALOGUE).cases[0].scenario
        assert s.clients.compute.speed.mean() == 1.5
        assert scenario(dump_scenario(s)) == s
        ids.append(scenario_id(s))
    assert ids[0] == ids[1]
    (tmp_path / "b" / "t.csv").write_text("s\n1\n3\n")
    assert scenario_id(read_study(file, CATALOGUE).cases[0].scenario) != ids[1]


def test_the_name_defaults_to_the_files(tmp_path: Path) -> None:
    file = tmp_path / "my first run!.yaml"
    file.write_text(BASE.replace("name: base\n", ""))
    study = read_study(file, CATALOGUE)
    assert study.name == "my-first-run"
    assert study.source == file.read_text()


def test_learning_rate_schedules() -> None:
    def factors(schedule: str, *versions: int) -> list[float]:
        s = scenario(f"{BASE}training: {{lr_schedule: {schedule}}}\n")
        return [s.training.lr_schedule.factor(version) for version in versions]

    assert factors("constant", 0, 100) == [1, 1]
    assert factors("{kind: step, every: 10, factor: 0.5}", 0, 9, 10, 29) == [1, 1, 0.5, 0.25]
    assert factors("inverse_sqrt", 0, 3) == [1, 0.5]
    assert factors("{kind: inverse_sqrt, scale: 4}", 0, 4) == [1, pytest.approx(1 / math.sqrt(2))]


def test_overrides_replace_add_and_index() -> None:
    s = scenario(
        BASE + "evaluation: {targets: [0.5, 0.6]}\nmodel: lenet\n",
        "clients.network.upload.latency=0.5",
        "strategy.clients_per_round=1e0",
        "model={kind: mlp, hidden: [3]}",
        "training.optimizer.lr=1e-2",
        "training.optimizer.kind=SGD",
        "evaluation.targets.1=0.7",
        "description='a=b: c'",
        seed=99,
    )
    assert s.clients.network.upload.latency.constant == 0.5
    assert s.strategy == Average(clients_per_round=1)
    assert s.model.hidden == (3,)
    assert s.training.optimizer.lr == 0.01
    assert s.evaluation.targets == (0.5, 0.7)
    assert s.description == "a=b: c"
    assert s.seed == 99


def test_an_override_goes_below_the_short_form_of_a_block() -> None:
    text = BASE.replace("{kind: average, clients_per_round: 4}", "average")
    assert scenario(text, "strategy.clients_per_round=2").strategy == Average(clients_per_round=2)


def test_an_override_reaches_every_run_of_a_study() -> None:
    text = BASE + "sweep: {strategy: [average, {kind: average, clients_per_round: 2}]}\n"
    study = read_study(text, CATALOGUE, ["strategy.clients_per_round=3", "training.epochs=2"])
    assert [case.scenario.strategy for case in study.cases] == [Average(clients_per_round=3)] * 2
    assert all(case.scenario.training.epochs == Distribution(2.0) for case in study.cases)
    one = read_study(text, CATALOGUE, ["sweep.strategy.1.clients_per_round=9"])
    assert one.cases[1].scenario.strategy == Average(clients_per_round=9)
    assert not read_study(text, CATALOGUE, ["sweep=null"]).is_study


def test_an_override_finds_a_dotted_key_of_the_sweep() -> None:
    text = BASE + "sweep: {training.optimizer.lr: [0.1, 0.2]}\n"
    study = read_study(text, CATALOGUE, ["sweep.training.optimizer.lr.1=0.3"])
    assert [case.scenario.training.optimizer.lr for case in study.cases] == [0.1, 0.3]


def test_a_sweep_runs_every_combination_and_replaces_whole_blocks() -> None:
    text = BASE + "sweep:\n  strategy: [average, buffered]\n  training.optimizer.lr: [0.1, 0.02]\n"
    study = read_study(text, CATALOGUE)
    assert study.is_study
    assert [case.label for case in study.cases] == [
        "average_lr-0.1",
        "average_lr-0.02",
        "buffered_lr-0.1",
        "buffered_lr-0.02",
    ]
    last = study.cases[-1].scenario
    assert last.name == "base-buffered_lr-0.02"
    assert (last.strategy, last.training.optimizer.lr) == (Buffered(), 0.02)
    assert study.cases[0].scenario.strategy == Average()  # not the base's clients_per_round: 4
    assert all(case.scenario.sweep is None for case in study.cases)


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        (
            "{strategy: [average, {kind: average, clients_per_round: 2}]}",
            ["average", "average_m-2"],
        ),
        ("{seed: [1, 2]}", ["seed-1", "seed-2"]),
        ("{training.shuffle: [true, false]}", ["shuffle-true", "shuffle-false"]),
        ("{training.clip_norm: [null, 1.0]}", ["clip_norm-none", "clip_norm-1.0"]),
        ("{data.partition: [iid, {kind: shards}]}", ["partition-iid", "shards"]),
        ("{server: [{aggregation_seconds: 1}]}", ["server-1"]),
        ("{strategy: [my.module:Own]}", ["my.module-Own"]),
        (
            "{cases: [{label: a b, set: {seed: 1}}, {set: {strategy: average, seed: 2}}]}",
            ["a-b", "average_seed-2"],
        ),
    ],
)
def test_labels_name_what_differs(sweep: str, expected: list[str]) -> None:
    assert labels(sweep) == expected


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        (
            "{strategy: [{kind: buffered, buffer_size: 1}, {kind: buffered, buffer_size: 5}, "
            "average]}",
            ["buffered K=1", "buffered K=5", "average"],
        ),
        (
            "{strategy: [{kind: buffered, buffer_size: 2}, {kind: buffered, buffer_size: 2, "
            "mu: 0.5}]}",
            ["buffered", "buffered mu=0.5"],
        ),
        (
            "{strategy: [{kind: buffered, staleness: {kind: hinge, a: 10, b: 4}}, "
            "{kind: buffered, staleness: {kind: hinge, a: 2, b: 4}}]}",
            ["buffered a=10", "buffered a=2"],
        ),
        (
            "{strategy: [average, buffered], training.batch_size: [16, 32]}",
            [
                *("average, batch_size=16", "average, batch_size=32"),
                *("buffered, batch_size=16", "buffered, batch_size=32"),
            ],
        ),
        (
            "{clients.compute: [{seconds_per_task: 1}, {seconds_per_task: 2, jitter: 3}]}",
            ["seconds_per_task=1", "seconds_per_task=2, jitter=3"],
        ),
        ("{cases: [{label: A (K = 1), set: {strategy: average}}]}", ["A (K = 1)"]),
        ("{strategy: [average, buffered], seed: [1, 2]}", 2 * ["average"] + 2 * ["buffered"]),
    ],
)
def test_titles_name_what_differs(sweep: str, expected: list[str]) -> None:
    study = read_study(f"{BASE}sweep: {sweep}\n", CATALOGUE)
    assert [case.title for case in study.cases] == expected
    assert len({case.label for case in study.cases}) == len(study.cases)


def test_replications_share_a_title() -> None:
    text = BASE + "replications: 2\nsweep: {strategy.clients_per_round: [3, 4]}\n"
    study = read_study(text, CATALOGUE)
    assert [case.title for case in study.cases] == ["m=3", "m=3", "m=4", "m=4"]
    assert study.cases[0].label == "clients_per_round-3-r0"


def test_listed_cases_pair_settings() -> None:
    text = BASE + "sweep: {cases: [{label: p, set: {strategy: buffered, training.steps: 5}}]}\n"
    case = read_study(text, CATALOGUE).cases[0]
    assert case.label == "p"
    assert case.scenario.strategy == Buffered()
    assert case.scenario.training.steps == Distribution(5.0)


def test_replications_derive_their_seeds_from_the_first() -> None:
    study = read_study(BASE + "replications: 3\n", CATALOGUE)
    assert study.is_study
    assert [case.label for case in study.cases] == ["r0", "r1", "r2"]
    derived = [7] + [Streams(7).integer("replication", 0, r) % 2**32 for r in (1, 2)]
    assert [case.scenario.seed for case in study.cases] == derived
    assert all(case.scenario.replications == 1 for case in study.cases)


def test_replications_multiply_a_sweep() -> None:
    text = BASE + "replications: 2\nsweep: {strategy: [average, buffered]}\n"
    study = read_study(text, CATALOGUE)
    assert [case.label for case in study.cases] == [
        "average-r0",
        "average-r1",
        "buffered-r0",
        "buffered-r1",
    ]
    assert len({case.scenario.name for case in study.cases}) == 4
    # the same seeds for each strategy, so that they can be compared in pairs
    seeds = [case.scenario.seed for case in study.cases]
    assert seeds[:2] == seeds[2:]


def test_one_run_is_a_case_that_has_its_own_name() -> None:
    study = read_study(BASE, CATALOGUE)
    assert [(case.label, case.scenario.name) for case in study.cases] == [("base", "base")]


def test_a_loaded_scenario_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        scenario(BASE).seed = 3


def every_property(schema: Any) -> Any:
    if isinstance(schema, dict):
        yield from (schema.get("properties") or {}).items()
        for value in schema.values():
            yield from every_property(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from every_property(value)


def test_the_schema_describes_every_key_of_the_sections() -> None:
    schema = json_schema(CATALOGUE)
    assert list(schema["properties"]) == list(Scenario.model_fields)
    for name in ("Training", "Clients", "Compute", "Link", "Stop", "Evaluation", "Recording"):
        for key, entry in schema["$defs"][name]["properties"].items():
            assert entry.get("description"), f"{name}.{key}"
    assert "x-distribution" not in str(schema)


def test_the_schema_has_no_dangling_reference() -> None:
    schema = json_schema(CATALOGUE)
    references = [value for key, value in walk(schema) if key == "$ref"]
    assert references
    assert {ref.removeprefix("#/$defs/") for ref in references} <= set(schema["$defs"])


def walk(value: Any) -> Any:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from walk(item)


def test_the_schema_lists_the_kinds_of_the_catalogue() -> None:
    schema = json_schema(CATALOGUE)
    assert schema["$defs"]["Average"]["properties"]["kind"] == {"const": "average"}
    ways = schema["properties"]["strategy"]["anyOf"]
    assert {"$ref": "#/$defs/Buffered"} in ways
    assert {"enum": ["average", "buffered", "explosive"]} in ways
    assert {"enum": ["lenet"]} in schema["properties"]["model"]["anyOf"]  # mlp needs `hidden`


def test_a_data_folder_is_found_from_the_scenario_file_and_from_its_resolved_copy(
    tmp_path: Path,
) -> None:
    (tmp_path / "scenarios").mkdir()
    file = tmp_path / "scenarios" / "own.yaml"
    file.write_text(BASE + "data: {dataset: kmnist, root: ../data}\n")
    scenario = read_study(file, CATALOGUE).cases[0].scenario
    assert Path(scenario.data.root or "") == tmp_path / "scenarios" / ".." / "data"
    elsewhere = tmp_path / "resolved.yaml"
    elsewhere.write_text(dump_scenario(scenario))
    assert read_study(elsewhere, CATALOGUE).cases[0].scenario.data.root == scenario.data.root
    absolute = file.read_text().replace("../data", "/data")
    assert read_study(absolute, CATALOGUE).cases[0].scenario.data.root == "/data"


def test_the_identity_of_a_scenario_does_not_depend_on_the_root_of_its_data(tmp_path: Path) -> None:
    def identity(data: str) -> str:
        return scenario_id(scenario(f"{BASE}data: {{dataset: kmnist{data}}}\n"))

    here, there = tmp_path / "here", tmp_path / "there" / "sets"
    assert identity(f", root: {here}") == identity(f", root: {there}")
    assert identity(f", root: {here}") != identity(", download: true")
    assert identity(f", root: {here}, normalize: unit") != identity(f", root: {here}")


def test_the_identity_of_a_scenario_with_own_data_does_not_depend_on_the_folder(
    tmp_path: Path,
) -> None:
    def identity(folder: str, name: str) -> str:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        data = f"data: {{dataset: {{kind: files, train: {name}, test_share: 0.2}}}}\n"
        (place / "own.yaml").write_text(BASE + data)
        return scenario_id(read_study(place / "own.yaml", CATALOGUE).cases[0].scenario)

    assert identity("here", "a.npz") == identity("there", "a.npz") != identity("here", "b.npz")
