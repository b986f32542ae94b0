"""What a wrong scenario is told: where, what, what was expected, the nearest name, all at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scenario_fakes import BASE, CATALOGUE

from afl_sim.errors import ScenarioError
from afl_sim.scenario import Catalogue, read_study


def lines(text: str, *overrides: str, **options: bool) -> list[str]:
    """The message's lines for a scenario text; file and line become ``LINE``."""
    with pytest.raises(ScenarioError) as caught:
        read_study(text + "\n", CATALOGUE, overrides, **options)
    return [line.replace("<text>:", "") for line in str(caught.value).split("\n")]


def only(text: str, *overrides: str, **options: bool) -> str:
    found = lines(text, *overrides, **options)
    assert len(found) == 1, found
    return found[0]


MANY_MISTAKES = """\
name: my scenario
sed: 3
data:
  dataset: mnsit
  partition: {kind: sizes, sizes: [5, x], min_sample: 2}
model: lenett
training:
  epochs: 1
  steps: 2
  batch_size: ful
  shuffle: yes
  lr_schedule: {kind: step, every: 0}
  optimizer: {kind: SGD, lr: fast}
clients:
  cuont: 10
  compute:
    seconds_per_sample: {dist: lognrom, s: 1}
    jitter: {mixture: [{weight: 1, dist: expon}, {weight: -1, dist: gamma}]}
  network: {upload: {bandwidth: 0}}
strategy:
  kind: buffered
  staleness: {kind: hinge, a: 10}
evaluation: {targets: [0.9, 95], every_seconds: "60"}
stop: {updates: true, version: 3}
"""


def test_every_mistake_is_told_with_its_own_line() -> None:
    found = lines(MANY_MISTAKES)
    start = [line.split(": ")[0] + ": " + line.split(": ")[1] for line in found]
    assert start == [
        "1: name",
        "2: sed",
        "4: data.dataset",
        "5: data.partition.sizes.1",
        "5: data.partition.min_sample",
        "6: model.kind",
        "7: training",
        "10: training.batch_size",
        "11: training.shuffle",
        "12: training.lr_schedule.every",
        "12: training.lr_schedule.factor",
        "13: training.optimizer.lr",
        "14: clients.count",
        "15: clients.cuont",
        "17: clients.compute.seconds_per_sample.dist",
        "18: clients.compute.jitter.mixture.1.weight",
        "18: clients.compute.jitter.mixture.1",
        "19: clients.network.upload.bandwidth",
        "22: strategy.staleness.b",
        "23: evaluation.every_seconds",
        "23: evaluation.targets.1",
        "24: stop.updates",
        "24: stop.version",
    ]
    text = "\n".join(found)
    for said in (
        "did you mean 'seed'?",
        "did you mean 'mnist'?",
        "did you mean 'lenet'?",
        "did you mean 'count'?",
        "did you mean 'versions'?",
        "got 'ful'; expected a whole number or full; did you mean 'full'?",
        "got 'yes'; expected true or false",
        "got true; expected a whole number",
        "got '60', which has no unit; expected a number of seconds",
        "has both epochs and steps; expected one of epochs, steps",
        "missing; this key is required (number of clients)",
        "can be 0; expected a number or distribution that is always above 0",
    ):
        assert said in text, said


def test_messages_are_plain_english_and_one_line_each() -> None:
    text = "\n".join(lines(MANY_MISTAKES))
    for word in ("pydantic", "Input should", "validation error", "type=", "Traceback"):
        assert word.lower() not in text.lower()


def test_the_same_mistake_is_told_once_though_many_runs_share_it() -> None:
    swept = BASE.replace("seed: 7", "seed: -7") + "sweep: {training.epochs: [1, 2, 3]}\n"
    assert only(swept) == "2: seed: got -7; expected 0 or more"


def test_a_mistake_inside_a_sweep_points_at_its_own_line() -> None:
    sweep = """\
sweep:
  strategy:
    - {kind: average}
    - kind: buffered
      buffer_sise: 3
    - {kind: averag}
"""
    assert lines(BASE + sweep) == [
        "12: sweep.strategy.1.buffer_sise: unknown key; expected one of kind, concurrency, "
        "buffer_size, mu, staleness; did you mean 'buffer_size'?",
        "13: sweep.strategy.2.kind: unknown strategy 'averag'; expected one of average, buffered, "
        "explosive, or package.module:name for your own; did you mean 'average'?",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("evaluation: {on: validation}", "evaluation.on: got 'validation', but data.validation"),
        ("evaluation: {on: client_test}", "evaluation.on: got 'client_test', but data.client_test"),
        (
            "evaluation: {on: client_train}\n"
            "data: {partition: {kind: iid, samples: 9, replacement: true}}",
            "evaluation.on: got 'client_train', but the clients draw their samples",
        ),
        (
            "data: {client_test: 0.1, partition: {kind: iid, samples: 9, replacement: true}}",
            "data.client_test: clients that draw their samples with replacement share them",
        ),
        (
            "data: {pool: train_and_test}",
            "data.pool: train_and_test gives the test set to the clients",
        ),
        (
            "training: {epochs: {values: [1, 2]}}",
            "training.epochs: has values for 2 clients, but clients.count is 10",
        ),
        (
            "server: {aggregation_seconds: {values: [1, 2]}}",
            "server.aggregation_seconds: has a value for each client, but this belongs to the "
            "server",
        ),
        (
            "data: {partition: {kind: sizes, sizes: [5, 5]}}",
            "data.partition.sizes: 2 sizes for 10 clients",
        ),
        (
            "server: {selection: {kind: weighted, by: speed}, download: {kind: fifo, bandwidth: 9, "
            "jitter: {dist: pareto, b: 0.9, allow_heavy_tail: true}}}",
            "server.selection.by: got 'speed', but server.download.jitter has no finite mean",
        ),
        (
            "server: {upload: {kind: fifo}}",
            "server.upload: does not say its bandwidth; expected bandwidth",
        ),
        ("server: {download: {kind: shard}}", "server.download.kind: unknown kind 'shard'"),
        ("evaluation: {seconds: 3}", "evaluation.seconds: has no effect"),
        ("recording: {trace: 1}", "recording.trace: got 1; expected true or false"),
        ("numerics: {device: gpu}", "numerics.device: got 'gpu'; expected one of cpu, cuda"),
        ("training: {epochs: 0.5}", "training.epochs: got 0.5; expected a whole number"),
        ("training: {steps: 0}", "training.steps: can be 0; expected 1 or more"),
        ("training: {proximal: .nan}", "training.proximal: .nan is not a finite number"),
        ("training: {steps: 1.0e+18}", "training.steps: got 1e+18; expected at most 100000000"),
        (
            "training: {epochs: 100000001}",
            "training.epochs: got 100000001; expected at most 100000000",
        ),
        (
            "training: {steps: {dist: lognorm, s: 1, scale: 1.0e+18}}",
            "training.steps: usually draws 1e+18; expected at most 100000000",
        ),
        (
            "training: {epochs: {values: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1.0e+10]}}",
            "training.epochs: client 9: usually draws 1e+10; expected at most 100000000",
        ),
        *(
            (
                f"training: {{{key}: 1.0e+300}}",
                f"training.{key}: got 1e+300; expected a number of float32, whose largest is 3.4e",
            )
            for key in ("proximal", "clip_norm", "gradient_noise")
        ),
        ("training: {proximal: -1}", "training.proximal: got -1; expected 0 or more"),
        ("training: {optimizer: {kind: SGD, lr: '0.1'}}", "lr: got '0.1'; expected a number"),
        ("training: {optimizer: {kind: SGD, lr: inf}}", "lr: got 'inf'; expected a number"),
        ("training: {optimizer: {kind: SGD, nesterov: 1}}", "nesterov: got 1; expected true or"),
        ("model: {kind: mlp, hidden: 3}", "model.hidden: got 3; expected a list"),
        ("model: {kind: mlp}", "model.hidden: missing; this key is required"),
        ("model: 3", "model: got 3; expected a block with a kind, or the kind alone"),
        ("model: {layers: 3}", "model.kind: missing; expected one of lenet, mlp"),
        ("model: other:thing", "model.kind: cannot import other:thing"),
        ("data: {partition: {alpha: 1}}", "data.partition.kind: missing; expected one of iid"),
        ("data: {partition: 3}", "data.partition: got 3; expected a block of keys"),
        ("recording: [1]", "recording: got a list of 1; expected a block of keys"),
        ("description: 3", "description: got 3; expected text"),
    ],
)
def test_one_wrong_setting_is_told_exactly(change: str, told: str) -> None:
    message = only(BASE + change)
    assert message.startswith("8: ")
    assert told in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("recording: {trace_window: 5}", "got 5; expected [from, to]"),
        ("recording: {trace_window: [1]}", "got a list of 1; expected [from, to]"),
        ("recording: {trace_window: [1, 2, 3]}", "got a list of 3; expected [from, to]"),
        (
            "data: {dataset: {kind: image_folder, root: ., size: 28}}",
            "data.dataset.size: got 28; expected [height, width]",
        ),
    ],
)
def test_a_pair_says_what_its_two_entries_are(change: str, told: str) -> None:
    message = only(BASE + change)
    assert told in message
    assert "did you mean" not in message


def test_a_law_that_is_never_drawn_from_may_have_no_mean() -> None:
    heavy = "{dist: pareto, b: 0.9, allow_heavy_tail: true}"
    by_speed = "selection: {kind: weighted, by: speed}"
    link = f"download: {{kind: uncontended, jitter: {heavy}}}"
    read_study(f"{BASE}server: {{{by_speed}, {link}}}", CATALOGUE)


def test_combinations_are_checked_even_beside_other_mistakes() -> None:
    text = BASE.replace("clients_per_round: 4", "clients_per_round: 40") + "recording: {trce: 1}"
    assert lines(text) == [
        "6: strategy.clients_per_round: got 40; expected at most 10",
        "8: recording.trce: unknown key; expected one of trace, trace_limit, trace_window, models; "
        "did you mean 'trace'?",
    ]


@pytest.mark.parametrize(
    ("clients", "told"),
    [
        (
            "availability: {kind: diurnal, share: 2}\n"
            "  compute: {seconds_per_task: {values: [1, 2, 3]}}",
            [
                "5: clients.availability.share",
                "6: clients.compute.seconds_per_task: has values for 3",
            ],
        ),
        (  # in the same block, and deeper
            "compute: {jitter_per: epoch, jitter: {values: [1, 2]}, slowdowns: {factor: 2, "
            "fast_seconds: 0, slow_seconds: {values: [3, 4, 5]}}}",
            [
                "5: clients.compute.jitter: has values for 2",
                "5: clients.compute.jitter_per: got 'epoch'",
                "5: clients.compute.slowdowns.fast_seconds: can be 0",
                "5: clients.compute.slowdowns.slow_seconds: has values for 3",
            ],
        ),
        (  # in a block that has a key too many, or lacks one
            "availability: {kind: on_off, on: {values: [1, 2]}, of: 3}",
            [
                "5: clients.availability.of: unknown key",
                "5: clients.availability.off: missing",
                "5: clients.availability.on: has values for 2",
            ],
        ),
        (  # what no part shows is not made up
            "queue: lifo\n  availability: {kind: always, joins: {values: [0, x]}}",
            ["5: clients.queue: got 'lifo'", "6: clients.availability.joins.values.1: got 'x'"],
        ),
        (
            "faults: {crash: 1}\n"
            "  compute: {seconds_per_step: 1, seconds_per_sample: {values: [1]}}",
            [
                "5: clients.faults.crash: every task",
                "6: clients.compute.seconds_per_sample: has values for 1",
                "6: clients.compute: has both seconds_per_sample and seconds_per_step",
            ],
        ),
    ],
)
def test_a_mistake_hides_no_other_in_its_section(clients: str, told: list[str]) -> None:
    found = lines(BASE.replace("compute: {seconds_per_task: 2.0}", clients).replace("10", "50"))
    assert len(found) == len(told)
    assert [line[: len(start)] for line, start in zip(sorted(found), told, strict=True)] == told


def test_a_part_without_a_mistake_is_checked_with_other_sections() -> None:
    text = BASE.replace("count: 10", "count: 10\n  queue: lifo") + (
        "server: {selection: {kind: weighted, by: speed}}\n"
    )
    heavy = "clients.compute.jitter={dist: pareto, b: 0.9, allow_heavy_tail: true}"
    found = lines(text, heavy)
    assert [line.split(": got")[0] for line in found] == [
        "5: clients.queue",
        "9: server.selection.by",
    ]


def test_bounds_are_told_as_they_are() -> None:
    assert "expected at most 9e+12" in only(BASE, "stop.virtual_seconds=1e13")
    assert "expected at most 10000" in only(BASE, "replications=10001")
    assert "expected at most 1048576" in only(
        BASE, "training.compression.upload={kind: qsgd, levels: 1048577}"
    )


def test_two_proximal_terms_are_refused() -> None:
    text = BASE.replace("{kind: average, clients_per_round: 4}", "{kind: buffered, mu: 0.1}")
    assert read_study(text, CATALOGUE).cases
    message = only(text + "training: {proximal: 0.2}")
    assert "8: training.proximal: the strategy has a proximal term of its own (0.1)" in message


@pytest.mark.parametrize(
    "law",
    [
        0.5,
        "{dist: beta, a: 2, b: 5}",
        "{dist: uniform, loc: 0.25, scale: 0.75}",
        "{dist: truncnorm, a: 0, b: 1}",
        "{values: [0, 1, 0.5, 0, 0, 0, 0, 0, 0, 0]}",
        "{mixture: [{weight: 3, dist: 0.1}, {weight: 1, dist: beta, a: 9, b: 1}]}",
    ],
)
def test_a_law_that_stays_among_probabilities_is_one(law: Any) -> None:
    assert read_study(BASE, CATALOGUE, [f"clients.faults.crash={law}"]).cases


def test_a_strategy_s_proximal_term_has_a_weight_that_training_can_take() -> None:
    text = BASE.replace("{kind: average, clients_per_round: 4}", "{kind: buffered, mu: 1.0e+300}")
    assert "6: strategy: its proximal term has the weight 1e+300; expected a n" in only(text)


def test_accuracy_alone_stops_nothing_that_is_only_timed() -> None:
    text = BASE.replace("{updates: 20}", "{accuracy: 0.9}") + "evaluation: {every_seconds: 9}\n"
    assert read_study(text, CATALOGUE).cases
    assert "7: stop.accuracy: nothing is trained" in only(text, timing_only=True)
    both = BASE.replace("{updates: 20}", "{accuracy: 0.9, updates: 5}")
    assert read_study(both, CATALOGUE, timing_only=True).cases


@pytest.mark.parametrize("evaluation", ["", "evaluation: {samples: 100}\n"])
def test_accuracy_alone_stops_nothing_that_is_not_evaluated(evaluation: str) -> None:
    text = BASE.replace("{updates: 20}", "{accuracy: 0.9}")
    found = only(text + evaluation)
    assert "7: stop.accuracy: this is the only stop rule, and it is never reached" in found
    assert read_study(text + "evaluation: {every_versions: 1}\n", CATALOGUE).cases
    assert read_study(BASE.replace("{updates: 20}", "{accuracy: 0.9, updates: 5}"), CATALOGUE).cases


@pytest.mark.parametrize("stop", ["{}", "null", "{updates: null}"])
def test_a_run_without_end_is_refused(stop: str) -> None:
    assert "7: stop" in only(BASE.replace("{updates: 20}", stop))


@pytest.mark.parametrize(
    "stop", ["{virtual_seconds: 0}", "{updates: 0}", "{samples: -1}", "{accuracy: 0}"]
)
def test_a_horizon_of_zero_is_refused(stop: str) -> None:
    assert "expected more than 0" in only(BASE.replace("{updates: 20}", stop))


def test_a_strategy_whose_own_check_raises_is_a_mistake_not_a_crash() -> None:
    text = BASE.replace("{kind: average, clients_per_round: 4}", "explosive")
    assert only(text) == "6: strategy: its own check failed: boom"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2", "2: a: this key is written twice; first written on line 1"),
        ("a:\n\tb: 1", "2: not valid YAML: a tab where spaces are expected"),
        ("a: [1, 2", "not valid YAML: "),
        ("a: b: c", "1: not valid YAML: a second colon in the line"),
        ("- 1\n- 2", "1: the file is not a block of keys; expected a scenario"),
        ("\n\n", "1: the file is empty; expected a scenario"),
        ("# nothing\n", "1: the file is empty"),
        ("just words\n", "1: the file is not a block of keys"),
        ("a: 1\n---\nb: 2", "2: a second YAML document"),
        ("a: *b\n", "1: a: the alias *b has no anchor before it"),
        ("a: &b [*b]\n", "1: a.0: the alias *b contains itself"),
        ("a: !!python/object:os.system x\n", "is not supported here"),
        ("? [a]\n: 1\n", "1: a key that is a list, a block or an alias"),
        ("a: " + "[" * 5000, "1: a."),
        ('a: "\\ud800"\n', "1: a: contains half of a surrogate pair"),
        ('a: "\\UFFFFFFFF"\n', "not valid YAML"),
        ("a: " + "9" * 5000 + "\n", "1: a: a number with too many digits"),
        ("a: " + "9" * 30 + "\n", "1: a: a whole number too large to use"),
        ("a: 1e999\n", "1: a: 1e999 is not a finite number"),
        ("a: \x07\n", "1: contains the control character U+0007"),
    ],
)
def test_unreadable_yaml_is_refused_with_a_line(text: str, told: str) -> None:
    assert any(told in line for line in lines(text)), lines(text)


def test_aliases_may_not_expand_without_bound() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for i in range(1, 9):
        bomb += f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n"
    assert "aliases expand to more than 100,000 values" in only(bomb)


def test_aliases_and_merge_keys_work_within_reason() -> None:
    text = BASE + "evaluation: &e {every_seconds: 5}\nsweep:\n  evaluation:\n    - *e\n"
    text += "    - {<<: *e, every_versions: 2}\n"
    first, second = (case.scenario.evaluation for case in read_study(text, CATALOGUE).cases)
    assert (first.every_seconds, second.every_seconds, second.every_versions) == (5, 5, 2)


def refused_file(path: Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        read_study(path, CATALOGUE)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_files_that_are_no_scenario_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    (tmp_path / "quickstart.yaml").touch()
    missing = refused_file(tmp_path / "quikstart.yaml")
    assert missing.startswith(f"{tmp_path}/quikstart.yaml:1: there is no such file; did you mean")
    assert refused_file(tmp_path).startswith(f"{tmp_path}:1: this is a folder")
    file.write_bytes(b"")
    assert refused_file(file).startswith(f"{file}:1: the file is empty")
    file.write_bytes(b"name: a\nx: \xff\n")
    assert refused_file(file) == f"{file}:2: not UTF-8 text (byte 0xff)"
    file.write_bytes(b"\x7fELF\n\0\0")
    assert refused_file(file) == f"{file}:2: a binary file; expected YAML text"
    file.write_bytes("name: a".encode("utf-16"))
    assert re.match(rf"{file}:1: ", refused_file(file))
    assert refused_file(Path("a\0b.yaml")).startswith("a")
    assert "cannot be read" in refused_file(tmp_path / ("x" * 5000))


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert read_study(file, CATALOGUE).name == "base"


def test_control_characters_cannot_break_a_message_apart() -> None:
    assert only(BASE + r'"a\nb\e[31m": 1').startswith(r"8: a\nb\x1b[31m: unknown key")


def test_the_number_of_lines_told_is_bounded() -> None:
    text = BASE + "".join(f"key{i}: 1\n" for i in range(500))
    found = lines(text)
    assert len(found) == 101
    assert found[-1] == "1: and 400 more mistakes"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("clients.cuont=3", "--set clients.cuont: unknown key; expected one of count"),
        ("clients.count=-3", "--set clients.count: got -3; expected more than 0"),
        ("clients.count", "--set: got 'clients.count'; expected key.path=value"),
        ("=3", "--set: got '=3'; expected key.path=value"),
        ("a..b=3", "--set: got 'a..b=3'; expected key.path=value"),
        ("stop.updates=[", "--set stop.updates: not valid YAML"),
        ("seed.x=3", "--set seed.x: seed is 7, not a block with keys"),
        ("strategy={kind: averag}", "--set strategy.kind: unknown strategy 'averag'"),
        ("strategy={kind: average, x: 1}", "--set strategy.x: unknown key; expected one of"),
        ("sweep.strategy.0.kind=x", "--set sweep.strategy.0.kind: sweep.strategy: got a block"),
        ("evaluation.targets.5=1", "--set evaluation.targets.5: evaluation.targets is a list of 1"),
    ],
)
def test_overrides_are_checked_like_the_file(override: str, told: str) -> None:
    assert only(BASE + "evaluation: {targets: [0.5]}", override).startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("{kind: random_crop, paddin: 2}", "kind, padding, border; did you mean 'padding'?"),
        ("{kind: vertical_flip, padding: 2}", "kind, p"),
    ],
)
def test_an_unknown_key_of_an_entry_of_a_list_is_told_with_the_keys_of_its_kind(
    change: str, told: str
) -> None:
    message = only(f"{BASE}training: {{augment: [{change}]}}")
    assert message.endswith(f": unknown key; expected one of {told}")


def test_an_override_of_what_is_swept_is_refused() -> None:
    text = BASE + "sweep: {training.optimizer.lr: [0.1, 0.2]}"
    message = only(text, "training.optimizer={kind: SGD}")
    assert message.startswith("--set training.optimizer: the sweep sets training.optimizer.lr")


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ("3", "8: sweep: got 3; expected a block of lists, or cases"),
        ("{}", "8: sweep: got an empty block"),
        ("{strategy: average}", "8: sweep.strategy: got 'average'; expected a list"),
        ("{strategy: []}", "8: sweep.strategy: got an empty list"),
        ("{strateggy: [a]}", "8: sweep.strateggy: unknown key; expected one of seed, data"),
        ("{name: [a]}", "8: sweep.name: name cannot be swept"),
        ("{seed: [1], cases: [{set: {seed: 1}}]}", "8: sweep.seed: `cases` cannot be combined"),
        ("{cases: []}", "8: sweep.cases: got an empty list"),
        ("{cases: [3]}", "8: sweep.cases.0: got 3; expected a block"),
        ("{cases: [{label: a}]}", "8: sweep.cases.0.set: missing; expected a block of settings"),
        ("{cases: [{st: {seed: 1}, set: {seed: 1}}]}", "8: sweep.cases.0.st: unknown key"),
        ("{cases: [{label: '//', set: {seed: 1}}]}", "8: sweep.cases.0.label: got '//'"),
        ("{cases: [{set: {sed: 1}}]}", "8: sweep.cases.0.set.sed: unknown key"),
        ("{cases: [{set: {seed: -1}}]}", "8: sweep.cases.0.set.seed: got -1; expected 0 or more"),
        ("{seed.x: [1]}", "8: sweep.seed.x: seed is 7, not a block with keys"),
        ("{training.lr_schedul: [1]}", "8: sweep.training.lr_schedul.0: unknown key"),
    ],
)
def test_mistakes_in_the_sweep_itself(sweep: str, told: str) -> None:
    assert only(f"{BASE}sweep: {sweep}").startswith(told)


def test_a_sweep_without_bound_is_refused() -> None:
    many = ", ".join(map(str, range(120)))
    message = only(f"{BASE}sweep: {{seed: [{many}], training.epochs: [{many[5:]}]}}")
    assert "runs; expected at most 10000" in message


def test_a_broken_sweep_does_not_hide_other_mistakes() -> None:
    found = lines(BASE.replace("seed: 7", "seed: -7") + "sweep: 3")
    assert [line.split(":")[0] for line in found] == ["2", "8"]


def test_without_kinds_a_message_still_says_what_is_wrong() -> None:
    with pytest.raises(ScenarioError, match="unknown strategy 'average'"):
        read_study(BASE, Catalogue())


def test_importing_the_room_needs_no_torch_no_simpy_and_no_scipy() -> None:
    code = (
        "import sys, afl_sim.scenario\n"
        "print([m for m in ('torch', 'simpy', 'scipy', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("clients.availability={kind: on_off, on: 3}", "clients.availability.off: missing"),
        ("clients.availability=diurnl", "did you mean 'diurnal'?"),
        ("clients.faults.crash=1", "clients.faults.crash: every task would crash"),
        *(
            (
                f"clients.faults.crash={law}",
                f"clients.faults.crash: can be {most}, which is not a pr",
            )
            for law, most in (
                ("{dist: expon, scale: 0.05}", "1.84"),
                ("{dist: lognorm, s: 1, scale: 0.1}", "368"),
                ("{dist: uniform, loc: 0.1, scale: 1}", "1.1"),
                ("{mixture: [{weight: 1, dist: 1.5}, {weight: 9, dist: beta, a: 1, b: 2}]}", "1.5"),
                ("{mixture: [{weight: 1, dist: expon}, {weight: 9, dist: 0}]}", "36.7"),
                ("{values: [0, 0, 0, 0, 0, 0, 0, 0, 0, 2]}", "2"),
                ("{values: [0, 0, 0, 0, 0, 0, 0, 0, 0, {dist: uniform, scale: 3}]}", "3"),
            )
        ),
        ("clients.faults.upload_loss={probability: 1.0}", "probability: got 1.0; expected less"),
        ("clients.network.upload.loss=1.0", "upload.loss: got 1.0; expected less than 1"),
        ("server.selection={kind: weighted}", "server.selection.by: missing"),
        *(
            (f"{key}: {{sequence: [1, 2]}}}}", f"{told}: a sequence gives each task its own number")
            for key, told in (
                ("clients.compute={seconds_per_sample", "clients.compute.seconds_per_sample"),
                ("clients.compute={seconds_per_step", "clients.compute.seconds_per_step"),
                ("clients.compute={seconds_per_task", "clients.compute.seconds_per_task"),
                ("clients.network.upload={latency", "clients.network.upload.latency"),
                ("clients.network.upload={bandwidth", "clients.network.upload.bandwidth"),
                ("clients.availability={kind: always, joins", "clients.availability.joins"),
                ("clients.availability={kind: always, leaves", "clients.availability.leaves"),
                ("clients.faults={crash", "clients.faults.crash"),
            )
        ),
        (
            "clients.compute.hours={speed: [1], phase_seconds: {mixture: "
            "[{weight: 1, sequence: [1, 2]}]}}",
            "clients.compute.hours.phase_seconds: a sequence gives each task its own number",
        ),
        (
            "clients.compute.slowdowns={fast_seconds: 1, slow_seconds: 1, factor: {values: "
            "[2, 2, 2, 2, 2, 2, 2, 2, 2, {sequence: [1, 2]}]}}",
            "clients.compute.slowdowns.factor: a sequence gives each task its own number",
        ),
        *(
            (f"{key}: {{values: {[1] * 10}}}}}", f"{told}: has a value for each client")
            for key, told in (
                ("evaluation={every_versions: 1, seconds", "evaluation.seconds"),
                ("server.pauses={lasts: 1, every", "server.pauses.every"),
                ("server.pauses={every: 1, lasts", "server.pauses.lasts"),
            )
        ),
    ],
)
def test_wrong_worlds_are_told_by_their_key(setting: str, told: str) -> None:
    assert told in only(BASE, setting)
