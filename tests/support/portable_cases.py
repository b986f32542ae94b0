"""Small training runs of every kind, as digests: the golden cases of portable arithmetic.

The golden digests hold on every processor that can compute in portable arithmetic. They change
when the bits of a model do. Where that is meant, write them anew, and say in the commit why:

    python tests/support/portable_cases.py --write

To print those of some cases (by default all) as this processor computes them:

    python tests/support/portable_cases.py CASE ...

With --products before the cases, NumPy and PyTorch compute products of their own first.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from golden_schedules import STRATEGIES
from places import TESTS

FILE = TESTS / "golden" / "models.json"
COUNTS = {"train": 480, "t10k": 80}

Block = dict[str, Any]
Case = Mapping[str, Any]
"""Values by dotted key, put into the scenario of `base`."""

SMALL: Block = {"kind": "mlp", "hidden": [9]}
LENET_CNN: Block = {"kind": "cnn", "channels": [3, 5], "hidden": 17}

MODELS: dict[str, Block] = {
    "logistic": {"kind": "logistic"},
    "mlp": {"kind": "mlp"},
    "mlp, xavier": {"kind": "mlp", "hidden": [33, 7], "weights": "xavier"},
    "mlp, truncated": {"kind": "mlp", "hidden": [33, 7], "weights": "truncated"},
    "mlp, dropout": {"kind": "mlp", "hidden": [40, 16], "dropout": 0.3},
    "lenet": {"kind": "lenet"},
    "cnn, small": {**LENET_CNN},
    "cnn, no padding": {**LENET_CNN, "padding": 0},
    "cnn, padding 1": {**LENET_CNN, "padding": 1, "convolutions": "xavier"},
    "cnn, truncated": {**LENET_CNN, "weights": "truncated"},
    "cnn, dropout": {**LENET_CNN, "dropout": 0.5},
}
ONCE: dict[str, Block] = {
    "linear": {"kind": "linear"},
    "vgg9, small": {"kind": "vgg9", "channels": [2, 3, 4, 5], "hidden": [12], "dropout": 0.2},
    "resnet, small": {"kind": "resnet", "depth": 8, "width": 4, "groups": 2},
    "resnet, batches": {"kind": "resnet", "depth": 8, "width": 3, "norm": "batch"},
}
"""Models that are tried with one size of batch."""

TINY_LSTM: Block = {"kind": "lstm", "embedding": 4, "hidden": 10}
TINY_TRANSFORMER: Block = {"kind": "transformer", "width": 12, "heads": 2}
SEQUENCES: dict[str, Block] = {
    "lstm": {**TINY_LSTM, "dropout": 0.1},
    "lstm, classes": {**TINY_LSTM, "layers": 1, "projection": 5},
    "transformer": {**TINY_TRANSFORMER, "dropout": 0.1},
    "transformer, classes": {**TINY_TRANSFORMER, "layers": 1},
}
"""Models of tokens; their cases are a few steps of training, without a run around them."""

BATCHES: dict[str, Any] = {"1": 1, "10": 10, "13": 13, "full": "full"}

OPTIMIZERS: dict[str, Block] = {
    "SGD, momentum": {"kind": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "SGD, Nesterov": {"kind": "SGD", "lr": 0.05, "momentum": 0.9, "nesterov": True},
    "SGD, dampening": {"kind": "SGD", "lr": 0.05, "momentum": 0.5, "dampening": 0.2},
    "SGD, decay": {"kind": "SGD", "lr": 0.05, "weight_decay": 0.001},
    "Adam": {"kind": "Adam", "lr": 0.003},
    "Adam, amsgrad": {"kind": "Adam", "lr": 0.003, "amsgrad": True, "weight_decay": 0.01},
    "AdamW": {"kind": "AdamW", "lr": 0.003},
    "Adamax": {"kind": "Adamax", "lr": 0.003},
    "NAdam": {"kind": "NAdam", "lr": 0.003},
    "RAdam": {"kind": "RAdam", "lr": 0.003},
    "Adagrad": {"kind": "Adagrad", "lr": 0.01, "lr_decay": 0.1},
    "Adadelta": {"kind": "Adadelta", "lr": 1.0},
    "Adafactor": {"kind": "Adafactor", "lr": 0.01},
    "RMSprop": {"kind": "RMSprop", "lr": 0.001},
    "RMSprop, centered": {"kind": "RMSprop", "lr": 0.001, "centered": True, "momentum": 0.9},
    "Rprop": {"kind": "Rprop", "lr": 0.01},
    "ASGD": {"kind": "ASGD", "lr": 0.05},
    "FedAdagrad": {"kind": "FedAdagrad", "lr": 0.01},
    "FedAdam": {"kind": "FedAdam", "lr": 0.01},
    "FedYogi": {"kind": "FedYogi", "lr": 0.01},
}

OFTEN = ("SGD, momentum", "Adam", "AdamW", "Adagrad", "RMSprop", "Adafactor")
"""Optimizers that are also tried with convolutions."""

ROUNDS: Block = {"kind": "fedavg", "clients_per_round": 3}
TRAINING: dict[str, Case] = {
    "proximal": {"training.proximal": 0.1},
    "clipping": {"training.clip_norm": 0.5},
    "noise": {"training.gradient_noise": 0.01},
    "noise, clipping, proximal": {
        "training.gradient_noise": 0.01,
        "training.clip_norm": 0.5,
        "training.proximal": 0.1,
    },
    "nll": {"training.loss": "nll"},
    "mse": {"training.loss": "mse"},
    "rates in steps": {"training.lr_schedule": {"kind": "step", "every": 1, "factor": 0.3}},
    "rates, inverse root": {"training.lr_schedule": {"kind": "inverse_sqrt", "scale": 0.7}},
    "last batch left out": {"training.drop_last": True, "training.batch_size": 9},
    "epochs": {"training.epochs": 2, "training.batch_size": 7},
    "upload bf16": {"training.compression.upload": {"kind": "bf16"}},
    "upload topk": {"training.compression.upload": {"kind": "topk", "fraction": 0.05}},
    "upload randk": {"training.compression.upload": {"kind": "randk", "fraction": 0.05}},
    "upload qsgd": {"training.compression.upload": {"kind": "qsgd", "levels": 7}},
    "download bf16": {"training.compression.download": {"kind": "bf16"}},
    "download qsgd": {"training.compression.download": {"kind": "qsgd", "bucket": 100}},
    "corrupted updates": {
        "clients.faults": {"corruption": {"probability": 0.3, "kind": "scale"}},
    },
    "a guard": {
        "clients.faults": {"corruption": {"probability": 0.3, "kind": "scale", "factor": 1e3}},
        "server.guard": {"max_norm": 2.0},
    },
    "squared gradient norm": {"evaluation.squared_gradient_norm": True},
    "population weights": {"strategy": {**ROUNDS, "weighting": "population"}},
}  # fmt: skip
VARIANTS: dict[str, Block] = {
    "fedavg, uniform": {**ROUNDS, "weighting": "uniform"},
    "fedasync, polynomial": {
        "kind": "fedasync",
        "concurrency": 5,
        "rho": 0.01,
        "staleness": {"kind": "polynomial", "exponent": 0.5},
    },
    "fedasync, hinge": {
        "kind": "fedasync",
        "concurrency": 5,
        "staleness": {"kind": "hinge", "a": 10, "b": 1},
    },
    "quafl, 6 bits": {
        "kind": "quafl",
        "clients_per_round": 3,
        "local_steps": 6,
        "interaction_seconds": 2.0,
        "bits": 6,
        "quantization_step": 1e-3,
        "rounding": "stochastic",
    },
    "quafl, 14 bits": {
        "kind": "quafl",
        "clients_per_round": 3,
        "local_steps": 6,
        "interaction_seconds": 2.0,
        "bits": 14,
    },
    "favas, stochastic": {
        "kind": "favas",
        "clients_per_round": 3,
        "local_steps": 6,
        "reweighting": "stochastic",
    },
    "tifl, adaptive": {
        "kind": "tifl",
        "tiers": 3,
        "clients_per_round": 3,
        "policy": "adaptive",
        "interval": 1,
    },
    "flanp, threshold": {
        "kind": "flanp",
        "initial_clients": 2,
        "threshold": 1000.0,
    },
    "fadas, threshold": {"kind": "fadas", "concurrency": 6, "buffer_size": 3, "delay_threshold": 1},
    "aced, two versions": {"kind": "aced", "staleness_limit": 2},
    "aced, tasks": {"kind": "aced", "staleness_limit": 2, "age": "task"},
    "dude_asgd, three": {"kind": "dude_asgd", "workers_per_step": 3},
    "area, after the step": {"kind": "area", "buffer_size": 2, "replacement": "after_step"},
    "delay_adaptive, threshold": {
        "kind": "delay_adaptive", "concurrency": 7, "form": "threshold", "critical_delay": 2,
    },
}  # fmt: skip
UPDATES: Block = {"updates": 14}
STOPS: dict[str, Block] = {
    name: {"versions": 7} for name in ("aced, two versions", "aced, tasks", "dude_asgd, three")
}
"""Of variants that make no more than one version in so many updates."""

KEEPING: Block = {
    "data.client_test": 0.25,
    "evaluation": {"every_versions": 1, "on": "client_test"},
    "stop": {"versions": 3},
}
"""Three rounds, after which some clients have trained twice."""

PERSONAL: dict[str, Case] = {
    "a head": {"model": {**SMALL, "personal": ["3.*"]}},
    "a head, pulled": {"model": {**SMALL, "personal": ["3.*"]}, "training.proximal": 0.1},
    "fedrep": {
        "model": {**SMALL, "personal": ["3.*"]},
        "training.personalization": {"kind": "fedrep", "steps": 2},
        "training.optimizer": OPTIMIZERS["SGD, momentum"],
    },
    "fedrep, Adafactor": {
        "model": {**SMALL, "personal": ["3.*"]},
        "training.personalization": {"kind": "fedrep", "steps": 2},
        "training.optimizer": OPTIMIZERS["Adafactor"],
    },
    "normalization layers": {
        "model": {**ONCE["resnet, batches"], "personal": ["*norm*"]},
    },
    "ditto": {"training.personalization": {"kind": "ditto", "lambda": 0.3}},
    "fine-tuning": {
        **KEEPING,
        "evaluation": {"every_versions": 1, "fine_tuning": {"steps": 2, "lr": 0.1}},
    },
}
NORMALIZATIONS = ("unit", "centred", "raw", "pixelwise", "unit_norm")


def cases() -> dict[str, Case]:
    """Every case by its name."""
    found: dict[str, Case] = {}
    for name, model in MODELS.items():
        for batch, size in BATCHES.items():
            found[f"{name}; batch {batch}"] = {"model": model, "training.batch_size": size}
    for name, model in ONCE.items():
        found[f"{name}; batch 13"] = {"model": model, "training.batch_size": 13}
    for name, model in SEQUENCES.items():
        target = "class" if name.endswith("classes") else "tokens"
        found[f"sequences; {name}"] = {"sequences": model, "target": target}
    # The largest model only once: a step of it takes as long as all of another case.
    found["cnn; batch 10"] = {"model": {"kind": "cnn"}, "stop.versions": 1, "training.steps": 2}
    for name, optimizer in OPTIMIZERS.items():
        kinds = ("logistic", "cnn, small") if name in OFTEN else ("logistic",)
        for kind in kinds:
            found[f"{kind}; {name}"] = {"model": MODELS[kind], "training.optimizer": optimizer}
        found[f"server optimizer {name}"] = {"strategy": {**ROUNDS, "server_optimizer": optimizer}}
    for name, settings in TRAINING.items():
        found[f"training; {name}"] = settings
    for kind, block in STRATEGIES.items():
        found[f"strategy {kind}"] = {"strategy": {"kind": kind, **block}, "stop": UPDATES}
    for name, block in VARIANTS.items():
        found[f"strategy {name}"] = {"strategy": block, "stop": STOPS.get(name, UPDATES)}
    for name, settings in PERSONAL.items():
        found[f"personal; {name}"] = {**KEEPING, **settings}
    for kind in NORMALIZATIONS:
        found[f"data; {kind}"] = {"data.normalize": kind}
    return found


def base(root: Path) -> Block:
    """Six clients with 24 samples each; two rounds of three of them."""
    return {
        "name": "portable",
        "seed": 31,
        "data": {"root": str(root), "partition": {"kind": "iid", "samples": 24}},
        "model": SMALL,
        "training": {"steps": 3, "batch_size": 10, "optimizer": {"kind": "SGD", "lr": 0.05}},
        "clients": {
            "count": 12,
            "compute": {
                "seconds_per_task": {"dist": "lognorm", "s": 0.8, "scale": 3.0},
                "jitter": {"dist": "uniform", "loc": 0.5, "scale": 1.0},
            },
        },
        "strategy": ROUNDS,
        "evaluation": {"every_versions": 1},
        "numerics": {"bits": "portable"},  # refused where it cannot be had
        # Under an emulator a run can last as long as until the next one, but there is no folder.
        "execution": {"checkpoint_seconds": None},
        "stop": {"versions": 2},
    }


def scenario(case: Case, root: Path) -> Any:
    """The scenario of a case."""
    from afl_sim.run.kinds import catalogue
    from afl_sim.scenario import Scenario, ValidationContext

    tree = base(root)
    for keys, value in case.items():
        *outer, last = keys.split(".")
        block = tree
        for key in outer:
            block = block.setdefault(key, {})
        block[last] = value
    if "epochs" in tree["training"]:
        del tree["training"]["steps"]
    return Scenario.model_validate(tree, context=ValidationContext(catalogue()))


def write_data(root: Path) -> None:
    """A few digits' worth of pixels, in MNIST's own files: blots on black, a place for each label.

    They come from integers alone, and are the same everywhere.
    """
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    draws = np.random.default_rng(7)
    rows, columns = np.mgrid[:28, :28]
    for part, count in COUNTS.items():
        labels = draws.integers(0, 10, count)
        centre = 4 + 2 * labels + draws.integers(-2, 3, count)
        away = abs(rows - centre[:, None, None]) + abs(columns - 26 + centre[:, None, None])
        images = np.maximum(0, 250 - 30 * away - draws.integers(0, 30, (count, 28, 28)))
        head = np.array([2051, count, 28, 28], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + images.astype("u1").tobytes())
        head = np.array([2049, count], ">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.astype("u1").tobytes())


def spare_the_compiler() -> None:
    """Let torch.optim take steps without importing torch's compiler.

    That import takes seconds, and half a minute under an emulator. Each step only tells the
    compiler, which is not used, that it cannot see through the step.
    """
    import torch

    if "torch._dynamo" not in sys.modules:
        stand_in: Any = ModuleType("torch._dynamo")
        stand_in.graph_break = lambda *words, **more: None
        stand_in.disable = lambda function, *words, **more: function
        sys.modules["torch._dynamo"] = torch._dynamo = stand_in


def digest(case: Case, root: Path) -> str:
    """The first digits of a digest over the model and over the losses of all evaluations."""
    from afl_sim.execution.numerics import model_digest, personal_digest

    if "sequences" in case:
        return sequences_digest(case["sequences"], case["target"])
    finished, rows = unrecorded(scenario(case, root))
    assert finished.status == "complete", finished.reason
    numbers = [
        number.hex()
        for row in rows
        for number in (row.loss, row.accuracy, row.squared_gradient_norm, *row.metrics.values())
        if number is not None
    ]
    assert len(numbers) >= 2 * len(rows)
    kept = finished.trained.kept
    personal = [] if kept is None else [personal_digest(kept)]
    text = " ".join([model_digest(finished.trained.vector), *personal, *numbers])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sequences_digest(block: Block, target: Any) -> str:
    """The first digits of a digest over a model of tokens after two epochs, and its outputs."""
    import torch
    import torch.nn.functional as F

    from afl_sim.execution.numerics import deterministic, model_digest
    from afl_sim.learning.data.form import SampleForm
    from afl_sim.learning.models.built_in import MODELS, build_model
    from afl_sim.learning.models.global_draws import global_generators
    from afl_sim.learning.models.parameters import ParameterVector
    from afl_sim.portable.block import arithmetic_of

    samples, form = 21, SampleForm((9,), 7, target, vocabulary=11)
    draws = np.random.default_rng(3)
    tokens = torch.from_numpy(draws.integers(0, 11, (samples, 9)))
    shape = (samples, 9) if target == "tokens" else (samples,)
    labels = torch.from_numpy(draws.integers(0, 7, shape))
    with deterministic(), arithmetic_of(portable=True), global_generators(1):
        model = build_model(MODELS[block["kind"]].model_validate(block), form, 5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            for rows in torch.arange(samples).split(8):
                optimizer.zero_grad()
                outputs = model.train()(tokens[rows])
                F.cross_entropy(outputs.flatten(0, -2), labels[rows].flatten()).backward()
                optimizer.step()
        with torch.no_grad():
            outputs = model.eval()(tokens).flatten()
        vector = ParameterVector(model).read(model)
    return model_digest(torch.cat([vector, outputs]))[:12]


def unrecorded(scenario: Any) -> tuple[Any, list[Any]]:
    """A run as `simulate` makes it, and its evaluations, without a folder.

    Under an emulator, what writes and reads the folder takes longer to import than a case to run.
    """
    from afl_sim.recording.metrics import MetricsLog
    from afl_sim.run import api
    from afl_sim.run.recorder import Recorder

    class Unwritten(Recorder):
        def __init__(self) -> None:
            self.folder: Any = SimpleNamespace(check_there=lambda: None)
            self.events: Any = SimpleNamespace(append=lambda *event, **more: None, ahead=None)
            self.metrics = MetricsLog()
            self._sinks = []
            self._untold = deque()
            self._counted = None

    recorder = Unwritten()
    with api._place_of_work(scenario, False, None, api.Observer()) as chosen:
        prepared = api.prepare(scenario, False)
        observer = api.Observer(None, None, None)
        finished = api.run(prepared, recorder, chosen, observer, began=0.0)
    finished.raise_error()
    return finished, recorder.metrics.rows


def digests(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The digests of some cases, computed here."""
    known = cases()
    with tempfile.TemporaryDirectory(prefix="afl_sim-cases-") as folder:
        root = Path(folder)
        os.environ["AFL_SIM_CACHE"] = str(root / "cache")
        write_data(root)
        for name in names:
            yield name, digest(known[name], root)


def compute_products() -> None:
    """Let NumPy and PyTorch load their own libraries and choose kernels."""
    import torch

    ones = np.ones((64, 64), np.float32)
    assert (ones @ ones == 64).all()
    assert bool((torch.from_numpy(ones) @ torch.from_numpy(ones) == 64).all())


def golden() -> dict[str, str]:
    """The digests as they were when last written."""
    found: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def write() -> None:
    """Write the digests anew, and say which changed."""
    before, now = golden(), dict(digests(cases()))
    FILE.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    changed = [name for name in now if before.get(name, now[name]) != now[name]]
    new, gone = ([*now.keys() - before.keys()], [*before.keys() - now.keys()])
    print(f"{len(now)} cases: {len(new)} new, {len(changed)} changed, {len(gone)} gone")
    for name in changed:
        print(f"changed: {name}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        words = sys.argv[1:]
        spare_the_compiler()
        if words[:1] == ["--products"]:
            compute_products()
            del words[0]
        for name, found in digests(words or cases()):
            print(json.dumps({name: found}), flush=True)
