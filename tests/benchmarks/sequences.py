"""Local training of models of sequences, beside a loop that is written by hand, in turns."""

from __future__ import annotations

import statistics
from time import thread_time

import numpy as np
import torch
from hand_written import copied, train
from measuring import Section, main

from afl_sim.execution.numerics import deterministic
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.data.made_up import made_up_in
from afl_sim.learning.models.built_in import MODELS, build_model
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.model_trial import Everything
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.streams import Streams

_FORM = SampleForm((80,), 90, vocabulary=90)  # the next of 90 characters, after 80
_SAMPLES, _BATCH, _LR = 120, 10, 0.5


def measure(quick: bool) -> Section:
    """Time both ways; ``quick`` takes fewer turns."""
    rows = [_compared(kind, 2 if quick else 15) for kind in ("lstm", "transformer")]
    return Section(
        "Local training of characters",
        "python tests/benchmarks/sequences.py",
        ("model", "samples/s", "by hand", "ratio"),
        rows,
        (
            f"A task is one epoch over {_SAMPLES} samples of {_FORM.input_shape[0]} characters in "
            f"batches of {_BATCH}, with SGD, in native arithmetic and one thread. Median processor "
            "time of tasks taken alternately; the ratio is the median of that of neighbouring "
            "tasks. Above 1, afl_sim is faster.",
        ),
    )


def _compared(kind: str, rounds: int) -> tuple[str, ...]:
    inputs, labels = made_up_in(_FORM, _SAMPLES, torch.Generator().manual_seed(0))
    net, model = (build_model(MODELS[kind](), _FORM, 1) for _ in range(2))
    settings = LocalSettings(OPTIMIZERS["SGD"].model_validate({"lr": _LR}), _BATCH)
    trainer = LocalTrainer(model, inputs, labels, Everything(_SAMPLES), Streams(0), settings)
    start, state = trainer.layout.read(model), copied(net.state_dict())
    anchor = start[: trainer.layout.num_parameters]

    def ours() -> float:
        began = thread_time()
        trainer.train(0, 0, _SAMPLES // _BATCH, start, anchor, 1.0)
        return thread_time() - began

    def by_hand() -> float:
        began = thread_time()
        net.load_state_dict(state)
        train(net, inputs, labels, _LR, _BATCH)
        copied(net.state_dict())
        return thread_time() - began

    with deterministic():
        ours(), by_hand()
        turns = [
            (ours(), by_hand()) if turn % 2 else (by_hand(), ours())[::-1] for turn in range(rounds)
        ]
    mine, theirs = (_SAMPLES / np.median(each) for each in zip(*turns, strict=True))
    ratio = statistics.median(hand / own for own, hand in turns)
    return kind, f"{mine:,.0f}", f"{theirs:,.0f}", f"{ratio:.3f}"


if __name__ == "__main__":
    main(measure, __doc__)
