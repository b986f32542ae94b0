"""How much memory a run with two workers needs for its data, beside one copy as bytes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import numpy as np
from measuring import Section, main

_SHAPE = (3, 32, 32)
_TRAIN, _TEST = 50_000, 10_000
_FEW = 1_000  # images of each set in the run that shows what all but the data takes
_WORKERS = 2
_SERVING = 3  # processes that serve the workers: two trackers of resources and a fork server
_EVERY = 0.02  # seconds between two looks at the memory
_SCENARIO = """
name: memory
data:
  dataset: {dataset}
  storage: uint8
model: logistic
training: {{epochs: 1, batch_size: 50, optimizer: {{kind: SGD, lr: 0.02}}}}
clients: {{count: 20, compute: {{seconds_per_sample: 0.01}}}}
strategy: {{kind: fedavg, clients_per_round: 20}}
evaluation: {{every_versions: 1}}
stop: {{updates: 40}}
execution: {{executor: processes, workers: {workers}}}
"""
_LAYOUTS = {
    "two `.npy` files for each set": "npy",
    "`.npz`": "npz",
    "compressed `.npz`": "compressed",
    "CIFAR-10 in torchvision's layout": "cifar10",
}


def measure(quick: bool) -> Section:
    """Watch a run of each layout of the data; ``quick`` takes the first two only."""
    chosen = list(_LAYOUTS.items())[: 2 if quick else None]
    copy = (_TRAIN + _TEST) * int(np.prod(_SHAPE)) / 1e6
    rows = []
    for title, layout in chosen:
        base, whole = _peaks(layout, _FEW, _FEW), _peaks(layout, _TRAIN, _TEST)
        beyond = [high - low for low, high in zip(base, whole, strict=True)]
        rows.append(
            (title, *(f"{mb:,.0f}" for mb in (*whole, *beyond)), f"{max(beyond) / copy:.2f}")
        )
    return Section(
        "Memory of 60,000 images of 3 x 32 x 32 bytes",
        "python tests/benchmarks/memory.py",
        (
            "the data lies in",
            "peak before and after training, MB",
            "peak while workers train, MB",
            f"beyond that of {2 * _FEW:,} images, MB",
            "beyond, while workers train, MB",
            "copies",
        ),
        rows,
        (
            f"A run with {_WORKERS} worker processes and `data.storage: uint8`. The peak is that "
            "of the sum over all of its processes of their proportional set size (Pss), in which a "
            "page that several processes share counts once, and pages of mapped files count, too. "
            f"It is read every {1000 * _EVERY:.0f} ms. The same run with {2 * _FEW:,} images shows "
            "what the imports and the rest of the work take. One copy of the images as bytes takes "
            f"{copy:,.1f} MB. Clients hold all images of the training set, and each trains twice.",
        ),
    )


def _peaks(layout: str, train: int, test: int) -> tuple[float, float]:
    """The peaks of a run's memory in MB: without workers, and while there are workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = _write(folder, layout, train, test)
        scenario = folder / "memory.yaml"
        scenario.write_text(_SCENARIO.format(dataset=dataset, workers=_WORKERS))
        call = f"simulate(load_scenario({str(scenario)!r}), {name + '/run'!r})"
        command = [sys.executable, "-c", f"from afl_sim import load_scenario, simulate; {call}"]
        environment = {**os.environ, "AFL_SIM_CACHE": name + "/cache"}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        peaks = [0.0, 0.0]
        while process.poll() is None:
            there = list(map(megabytes, processes_of(process.pid)))
            trains = len(there) > _SERVING + 1
            peaks[trains] = max(peaks[trains], sum(there))
            sleep(_EVERY)
        if process.returncode:
            assert process.stderr is not None
            raise RuntimeError(process.stderr.read())
        return peaks[0], peaks[1]


def processes_of(process: int) -> Iterator[int]:
    """A process and those that it began, directly or not."""
    yield process
    try:
        children = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has ended
        return
    for child in " ".join(children).split():
        yield from processes_of(int(child))


def megabytes(process: int) -> float:
    """A process's proportional set size in MB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def _write(folder: Path, layout: str, train: int, test: int) -> str:
    """Write random images, and give the scenario's ``data.dataset`` that reads them."""
    draws = np.random.default_rng(1)
    parts = {
        part: (draws.integers(256, size=(count, *_SHAPE), dtype=np.uint8), np.arange(count) % 10)
        for part, count in (("train", train), ("test", test))
    }
    if layout == "cifar10":
        _write_cifar10(folder, parts)
        return f"cifar10\n  root: {folder}\n  check: false"
    if layout == "npy":
        for part, (images, labels) in parts.items():
            np.save(folder / f"{part}-inputs.npy", images)
            np.save(folder / f"{part}-labels.npy", labels)
        both = ", ".join(
            f"{part}: {{inputs: {part}-inputs.npy, labels: {part}-labels.npy}}" for part in parts
        )
        return f"{{kind: files, {both}}}"
    save = np.savez_compressed if layout == "compressed" else np.savez
    for part, (images, labels) in parts.items():
        save(folder / f"{part}.npz", inputs=images, labels=labels)
    return "{kind: files, train: train.npz, test: test.npz}"


def _write_cifar10(folder: Path, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    place = folder / "cifar-10-batches-py"
    place.mkdir()
    names = [f"c{number}" for number in range(10)]
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    files = [f"data_batch_{number}" for number in range(1, 6)]
    images, labels = parts["train"]
    pieces = zip(files, np.array_split(images, 5), np.array_split(labels, 5), strict=True)
    for file, rows, classes in [*pieces, ("test_batch", *parts["test"])]:
        content = {"data": rows.reshape(len(rows), -1), "labels": classes.tolist()}
        (place / file).write_bytes(pickle.dumps(content))


if __name__ == "__main__":
    main(measure, __doc__)
