"""A target of one timing study that runs in a moment, and what measures it."""

from __future__ import annotations

from pathlib import Path

STUDY = """\
name: rounds
seed: 3
replications: 4
data: {partition: {kind: iid, samples: 10}}
model: logistic
clients: {count: 4, compute: {seconds_per_task: {dist: expon, scale: 2.0}}}
strategy: {kind: fedavg, clients_per_round: 2}
stop: {versions: 5}
"""
TARGET = """\
title: Rounds of a tiny fleet
citation: "Nobody, 2020"
minutes: {small: 0.1, full: 0.2}
analysis: tiny_analysis
studies:
  rounds: {file: rounds.yaml, timing_only: true, small: {set: {replications: 2}, cut: 2 seeds of 4}}
  long: {file: rounds.yaml, timing_only: true, small: skip, cost: an hour}
tables:
  - quantity: versions
    title: Versions made
    format: "{:.1f}"
    tolerance: {absolute: 0.5, because: it is a whole number}
    rows:
      right: 5
      wrong: {reported: 8, confirmed: false}
      other: null
  - quantity: seconds
    title: Length of a round
    unit: s
    at_small: false
    tolerance: {spread: prediction}
    rows: {all: 2.5}
claims:
  - {quantity: ended, says: All runs come to their end}
figure: Seconds of each run
"""
ANALYSIS = """\
from matplotlib.figure import Figure


def measure(studies):
    runs = studies["rounds"]
    versions = [run.summary["versions"] for run in runs]
    return {
        "versions": {"right": versions, "wrong": versions, "other": versions},
        "seconds": {"all": [run.summary["virtual_seconds"] / 5 for run in runs]},
        "ended": [run.status == "complete" for run in runs],
    }


def draw(studies, target):
    figure = Figure()
    axes = figure.subplots()
    axes.axhline(target.tables["seconds"].rows["all"].reported)
    axes.plot([run.summary["virtual_seconds"] for run in studies["rounds"]])
    return figure
"""


def write_target(folder: Path) -> Path:
    """The target in a folder ``tiny``, with its analysis beside that."""
    place = folder / "tiny"
    place.mkdir()
    (place / "rounds.yaml").write_text(STUDY)
    (place / "target.yaml").write_text(TARGET)
    (folder / "tiny_analysis.py").write_text(ANALYSIS)
    return place
