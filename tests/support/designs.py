"""A small scenario with a design, and variants of it."""

from __future__ import annotations

from typing import Final

BASE: Final = """\
name: tiny
seed: 1
data: {partition: {kind: iid, samples: 40}}
model: logistic
training: {epochs: 1, batch_size: 10, optimizer: {kind: SGD, lr: 0.03}}
clients:
  count: 8
  compute: {seconds_per_sample: {dist: lognorm, s: 0.8, scale: 0.01}}
strategy: {kind: fedbuff, concurrency: 4, buffer_size: 2}
evaluation: {every_versions: 1, samples: 200}
stop: {virtual_seconds: 8}
"""

VARY: Final = """\
    strategy:
      - {kind: fedavg, clients_per_round: {choices: [2, 8]}}
      - {kind: fedbuff, concurrency: {integers: [2, 4]}, buffer_size: 2}
    training.optimizer.lr: [0.001, 0.03]
"""


def design(vary: str = VARY, minimize: str = "{time_to_accuracy: 0.7}", more: str = "") -> str:
    """A block ``design``; ``more`` are further lines of it, indented by two."""
    return f"design:\n  vary:\n{vary}  minimize: {minimize}\n{more}"


SMALL: Final = BASE + design(more="  seeds: 2\n  budget: {share: 1.0}\n")
"""Ten candidates."""
