"""The parts of a portable training step, and ways of computing them that were tried, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from time import thread_time

import numpy as np
import torch
from measuring import Section, main

from afl_sim.learning.chain.chain import Chain
from afl_sim.learning.chain.recognition import chain_of
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import build_model
from afl_sim.learning.models.families.convolutional import Cnn, LeNet
from afl_sim.learning.models.families.dense import Logistic, Mlp
from afl_sim.learning.models.spec import ModelSpec
from afl_sim.portable.blas import prepared
from afl_sim.portable.buffered_exp import BufferedExp
from afl_sim.portable.elementary import exp64

_SHAPE, _CLASSES = (1, 28, 28), 10
_STEPS: dict[str, tuple[ModelSpec, int]] = {
    "lenet": (LeNet(), 32),
    "cnn": (Cnn(), 32),
    "mlp": (Mlp(), 10),
    "logistic": (Logistic(), 10),
}
Call = Callable[[], object]


def measure(quick: bool) -> Section:
    """Time the ways; ``quick`` takes fewer turns."""
    rounds = 3 if quick else 25
    rows = []
    for what, ways in (*_products(), *_steps(), *_functions()):
        taken = _alternate([call for _, call in ways], rounds)
        first = statistics.median(taken[0])
        for (name, _), seconds in zip(ways, taken, strict=True):
            time = statistics.median(seconds)
            rows.append((what, name, f"{1e6 * time:.1f}", f"{first / time:.2f}"))
    return Section(
        "Ways of computing the parts of a portable step",
        "python tests/benchmarks/portable.py",
        ("what", "how", "µs", "ratio to the first"),
        rows,
        (
            "Median processor time of one thread over turns taken alternately in one process; a "
            "ratio above 1 is faster than the first way. The last way of each part is the one in "
            "use.",
        ),
    )


def _alternate(calls: Sequence[Call], rounds: int) -> list[list[float]]:
    repeats = [max(1, int(0.02 / max(_seconds(call, 3), 1e-7))) for call in calls]
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for index, call in enumerate(calls):
            taken[index].append(_seconds(call, repeats[index]))
    return taken


def _seconds(call: Call, times: int) -> float:
    began = thread_time()
    for _ in range(times):
        call()
    return (thread_time() - began) / times


def _drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def _rows(out: int, kernel: int, depth: int, length: int, height: int, together: int) -> Call:
    """The products of all rows of a convolution, so many rows at once."""
    span = together + kernel - 1
    band, patches = _drawn(together * out, span * depth), _drawn(height + kernel - 1, depth, length)
    calls = [
        prepared(
            band,
            patches[row : row + span].reshape(span * depth, length),
            np.empty((together * out, length), np.float32),
        )
        for row in range(0, height, together)
    ]
    return lambda: [call() for call in calls]


def _products() -> list[tuple[str, list[tuple[str, Call]]]]:
    found = []
    for name, sizes, most in (
        ("lenet's first convolution, forward", (10, 5, 5, 768, 24), 4),
        ("lenet's second convolution, forward", (20, 5, 50, 256, 8), 2),
    ):
        ways = [together for together in (1, 2, 4) if together <= most]
        found.append((name, [(f"{n} rows at once", _rows(*sizes, n)) for n in ways]))
    x, g = _drawn(10, 784), _drawn(10, 200)
    stored, turned = np.empty((200, 784), np.float32), np.empty((784, 200), np.float32)
    found.append(
        (
            "gradient of a layer of 784 x 200, batch 10",
            [
                ("weights (units, inputs)", prepared(g.T, x, stored)),
                ("weights (inputs, units)", prepared(x.T, g, turned)),
            ],
        )
    )
    w, y = _drawn(784, 200), np.empty((10, 200), np.float32)
    tensors = [torch.from_numpy(each) for each in (x, w, y)]
    found.append(
        (
            "product 10 x 784 x 200",
            [
                ("torch.mm", lambda: torch.mm(tensors[0], tensors[1], out=tensors[2])),
                ("numpy.dot", lambda: np.dot(x, w, out=y)),
                ("OpenBLAS, prepared", prepared(x, w, y)),
            ],
        )
    )
    return found


def _chain(name: str) -> tuple[Chain, int]:
    spec, batch = _STEPS[name]
    model = build_model(spec, SampleForm(_SHAPE, _CLASSES), 1)
    chain = chain_of(model, _SHAPE, "cross_entropy")
    assert chain is not None
    chain.load(torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy())
    return chain, batch


def _steps() -> list[tuple[str, list[tuple[str, Call]]]]:
    found = []
    for name in _STEPS:
        chain, batch = _chain(name)
        samples, labels = _drawn(batch, 784), np.arange(batch) % _CLASSES
        rows = np.arange(batch)

        def apart(
            chain: Chain = chain, batch: int = batch, given: tuple = (samples, labels)
        ) -> None:
            chain.differentiate(*given, np.arange(batch), 1 / batch)
            chain.step(1e-4)

        def together(chain: Chain = chain, given: tuple = (samples, labels, rows)) -> None:
            chain.descend(*given, 1e-4)

        what = f"a step of {name}, batch {batch}"
        found.append((what, [("gradient, then SGD", apart), ("SGD within products", together)]))
    return found


def _functions() -> list[tuple[str, list[tuple[str, Call]]]]:
    x = -np.abs(_drawn(10, 10)).astype(np.float64)
    kept, given = BufferedExp(x.shape), x.copy()
    return [
        (
            "exp of 100 numbers",
            [("elementary.exp64", lambda: exp64(x)), ("BufferedExp", lambda: kept(given))],
        )
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__)
