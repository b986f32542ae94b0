"""Wrong input through the real command: all of it told at once, exit code 2, nothing left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import Command
from places import SMALLEST
from run_checks import everything_in

GOOD = SMALLEST.read_text()
STRATEGY = "strategy: {kind: fedbuff, concurrency: 5, buffer_size: 5}"


def changed(old: str, new: str) -> bytes:
    """The smallest scenario with one thing wrong."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new).encode()


def line_of(text: str) -> int:
    """The line of the smallest scenario that holds a text."""
    (number,) = (n for n, line in enumerate(GOOD.splitlines(), 1) if text in line)
    return number


def bomb() -> bytes:
    """Nine levels of nine aliases each: 9 ** 9 values in 500 bytes."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for n in range(1, 9):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]")
    return "\n".join(lines).encode()


END = len(GOOD.splitlines()) + 1
TABLE = "{kind: files, train: table.csv, inputs: x, labels: y, test_share: 0.5}"
FASHION_FILE = "FashionMNIST/raw/train-images-idx3-ubyte"

# name: (content, the messages, each as (line, key path or None, words that must be in it))
WRONG: dict[str, tuple[bytes | None, list[tuple[int, str | None, list[str]]]]] = {
    "missing": (None, [(1, None, ["no such file"])]),
    "empty": (b"", [(1, None, ["empty"])]),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", [(3, None, ["binary"])]),
    "latin1": (b"seed: 1\nname: caf\xe9\n", [(2, None, ["UTF-8"])]),
    "deep": (b"name: " + b"[" * 9000 + b"]" * 9000, [(1, "name", ["nested"])]),
    "bomb": (bomb(), [(6, "a5", ["aliases expand"])]),
    "twice": (GOOD.encode() + b"seed: 2\n", [(END, "seed", ["twice", str(line_of("seed:"))])]),
    "tabs": (GOOD.encode() + b"server:\n\taggregation_seconds: 1\n", [(END + 1, None, ["tab"])]),
    "syntax": (b"name: x\nclients: {count: 3\nseed: 1\n", [(2, None, ["not valid YAML", "brace"])]),
    "sequence": (b"- 1\n- 2\n", [(1, None, ["keys"])]),
    "keys": (
        GOOD.replace("seed:", "sed:").replace("buffer_size", "bufer_size").encode()
        + b"stops: {updates: 3}\n",
        [
            (line_of("seed:"), "sed", ["unknown key", "did you mean 'seed'?"]),
            (line_of(STRATEGY), "strategy.bufer_size", ["did you mean 'buffer_size'?"]),
            (END, "stops", ["unknown key", "did you mean 'stop'?"]),
        ],
    ),
    "values": (
        GOOD.replace("count: 10", "count: ten")
        .replace("lr: 0.02", "lr: fast")
        .replace("model: logistic", "model: logistik")
        .replace("seed: 1", "seed: -1")
        .encode(),
        [
            (line_of("seed:"), "seed", ["-1", "expected 0 or more"]),
            (line_of("model:"), "model.kind", ["'logistik'", "did you mean 'logistic'?"]),
            (line_of("lr:"), "training.optimizer.lr", ["'fast'", "number"]),
            (line_of("count:"), "clients.count", ["'ten'"]),
        ],
    ),
    "distribution": (
        changed("{dist: lognorm, s: 0.5, scale: 0.01}", "{dist: gamma, a: -1}"),
        [(line_of("lognorm"), "clients.compute.seconds_per_sample.a", ["-1"])],
    ),
    "strategy": (
        changed("kind: fedbuff", "kind: fedbuf"),
        [(line_of(STRATEGY), "strategy.kind", ["'fedbuf'", "did you mean 'fedbuff'?"])],
    ),
    "optimizer": (
        changed("kind: SGD", "kind: SGDD"),
        [(line_of("SGD"), "training.optimizer.kind", ["'SGDD'", "did you mean 'SGD'?"])],
    ),
    "clients": (
        changed(STRATEGY, "strategy: {kind: fedavg, clients_per_round: 11}"),
        [(line_of(STRATEGY), "strategy.clients_per_round", ["11", "at most 10"])],
    ),
    "crowd": (
        changed("concurrency: 5", "concurrency: 11"),
        [(line_of(STRATEGY), "strategy.concurrency", ["11", "at most 10"])],
    ),
    "horizon": (
        changed("{updates: 60}", "{virtual_seconds: 0}"),
        [(line_of("stop:"), "stop.virtual_seconds", ["0", "more than 0"])],
    ),
    "validation": (
        changed("{samples: 1000}", "{samples: 1000, on: validation}"),
        [(line_of("evaluation:"), "evaluation.on", ["data.validation"])],
    ),
    "evaluation": (
        changed("{samples: 1000}", "{samples: 10001}"),
        [(line_of("evaluation:"), "evaluation.samples", ["10001", "at most 10000"])],
    ),
    "share": (
        GOOD.replace("{samples: 1000}", "{on: validation}")
        .replace("data: {", "data: {validation: 1e-6, ")
        .encode(),
        [(line_of("data:"), "data.validation", ["1e-06", "no sample"])],
    ),
    "many": (
        changed("count: 10", "count: 60001"),
        [(line_of("partition"), "data.partition.samples", ["60001", "at most 600 clients"])],
    ),
    "batch": (
        changed("batch_size: 10", "batch_size: 101, drop_last: true"),
        [(line_of("batch_size"), "training.drop_last", ["100 samples", "at most 100"])],
    ),
    "pool": (
        changed("{kind: iid, samples: 100}", "{kind: iid, samples: 6001}"),
        [(line_of("partition"), "data.partition", ["6001"])],
    ),
    "import": (
        changed(STRATEGY, 'strategy: {kind: "broken_strategy:Mine"}'),
        [(line_of(STRATEGY), "strategy.kind", ["broken_strategy", "cannot import", "boom"])],
    ),
    "module": (
        changed(STRATEGY, 'strategy: {kind: "nowhere.at_all:Mine"}'),
        [(line_of(STRATEGY), "strategy.kind", ["nowhere"])],
    ),
    "class": (
        changed(STRATEGY, 'strategy: {kind: "json:loads"}'),
        [(line_of(STRATEGY), "strategy.kind", ["Strategy"])],
    ),
    "fashion": (
        changed("data: {", "data: {dataset: fashion_mnist, "),
        [(line_of("data:"), "data", ["data.root", FASHION_FILE, "data.download: true"])],
    ),
    "kind": (
        changed("data: {", "data: {dataset: {kind: fils}, "),
        [(line_of("data:"), "data.dataset.kind", ["fils", "did you mean 'files'?"])],
    ),
    "table": (
        changed("data: {", f"data: {{dataset: {TABLE}, "),
        [(line_of("data:"), "data.dataset.inputs", ["table.csv", "'x', sample 1", "nan"])],
    ),
    "column": (
        changed("data: {", f"data: {{dataset: {TABLE.replace('labels: y', 'labels: yy')}, "),
        [(line_of("data:"), "data.dataset.labels", ["table.csv", "'yy'", "did you mean 'y'?"])],
    ),
    "factory": (
        changed("data: {", 'data: {dataset: {kind: "nowhere.at_all:make", test_share: 0.2}, '),
        [(line_of("data:"), "data.dataset.kind", ["nowhere"])],
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broken_strategy.py").write_text("raise RuntimeError('boom')\n")
    (tmp_path / "table.csv").write_text("x,y\n1,0\nnan,1\n")
    for name, (content, _) in WRONG.items():
        if content is not None:
            (tmp_path / f"{name}.yaml").write_bytes(content)
    return tmp_path


def check(messages: list[str], name: str) -> None:
    """Every expected message of a wrong file is there, with file, line and key, and no other."""
    mine = [message for message in messages if message.startswith(f"{name}.yaml:")]
    expected = WRONG[name][1]
    assert len(mine) == len(expected), mine
    for message, (line, key, words) in zip(mine, expected, strict=True):
        assert message.startswith(f"{name}.yaml:{line}: "), message
        if key is not None:
            told = message.split(": ")[1]
            assert told == key or told.startswith(f"{key}."), message
        for word in words:
            assert word in message, (word, message)


def test_validate_tells_every_mistake_of_every_file_at_once(afl_sim: Command, folder: Path) -> None:
    line = ("validate", SMALLEST, *(f"{name}.yaml" for name in WRONG), ".", "quickstrat")
    (result,) = afl_sim.batch([line])
    assert result.code == 2
    assert result.out == f"{SMALLEST}: ok, 1 run\n"
    messages = result.errors
    for name in WRONG:
        check(messages, name)
    folder_message, name_message = messages[-2:]
    assert folder_message.startswith(".:1: ")
    assert "folder" in folder_message
    assert "did you mean 'quickstart'?" in name_message
    assert len(messages) == sum(len(expected) for _, expected in WRONG.values()) + 2


def test_run_tells_the_same_and_leaves_no_folder(afl_sim: Command, folder: Path) -> None:
    before = everything_in(folder)
    lines = [("run", f"{name}.yaml", "--out", f"out/{name}") for name in WRONG]
    lines += [("run", f"{name}.yaml") for name in WRONG]
    for name, result in zip([*WRONG, *WRONG], afl_sim.batch(lines), strict=True):
        assert (name, result.code) == (name, 2)
        assert result.out == ""
        check(result.errors, name)
        assert len(result.errors) == len(WRONG[name][1])
    after = {
        name: text for name, text in everything_in(folder).items() if "__pycache__" not in name
    }
    assert after == before
    assert not (folder / "out").exists()
    assert not (folder / "runs").exists()


SETTINGS = {
    "stop.update=3": ("stop.update", "did you mean 'updates'?"),
    "stop.updates=-3": ("stop.updates", "more than 0"),
    "stop.updates=many": ("stop.updates", "'many'"),
    "training.optimizer.lr=nan": ("training.optimizer.lr", "number"),
    "strategy.kind=fedbuf": ("strategy.kind", "did you mean 'fedbuff'?"),
    "strategy.concurrency.x=1": ("strategy.concurrency", "x"),
    "clients.count={a: [": ("clients.count", "YAML"),
    "clients.count": ("clients.count", "="),
    "=3": ("=3", "="),
}


def test_settings_on_the_command_line_are_checked_like_the_file(
    afl_sim: Command, tmp_path: Path
) -> None:
    lines: list[tuple[str | Path, ...]] = []
    for setting in SETTINGS:
        lines += [("run", SMALLEST, "--set", setting), ("validate", SMALLEST, "--set", setting)]
    lines.append(("run", SMALLEST, "--seed=-1"))
    lines.append(("run", SMALLEST, "--set", "stop={accuracy: 0.5}", "--timing-only"))
    *results, seed, accuracy = afl_sim.batch(lines)
    for line, result in zip(lines, results, strict=False):
        assert result.code == 2, line
        (message,) = result.errors
        key, word = SETTINGS[str(line[3])]
        assert re.match(r"(.*: )?--set[: ]", message), message
        assert key in message
        assert word in message
    assert seed.errors == ["--seed: got -1; expected 0 or more"]
    assert seed.code == 2
    assert accuracy.code == 2
    assert "stop" in accuracy.errors[0]
    assert "--timing-only" in accuracy.errors[0]
    assert list(tmp_path.iterdir()) == []


def test_an_exponent_is_the_number_it_means(afl_sim: Command, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_bytes(changed("lr: 0.02", "lr: 1e-3"))
    (tmp_path / "two.yaml").write_bytes(changed("lr: 0.02", "lr: 0.001"))
    quick = ("--timing-only", "--set", "stop.updates=1")
    one, two = afl_sim.batch(
        [("run", "one.yaml", *quick), ("run", "two.yaml", *quick, "--set", "seed=1e0")]
    )
    assert "complete in" in one.succeeded().err
    assert "finished before, reused" in two.succeeded().err  # the same scenario


def test_a_wrong_command_line_is_told_with_exit_code_2(afl_sim: Command) -> None:
    lines = [("frobnicate",), ("run",), ("run", SMALLEST, "--seeds", "3"), ("list", "strategy")]
    results = afl_sim.batch(lines)
    assert [result.code for result in results] == [2] * 4
    assert "frobnicate" in results[0].err
    assert "--seed" in results[2].err
    assert "did you mean 'strategies'?" in results[3].errors[0]
