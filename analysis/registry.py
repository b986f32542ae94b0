"""The registry of all figures."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from afl_sim.analysis.theme import Style


LOOKS: Final = 32
"""How many settings one figure can tell apart, by colour and line."""


class Draws(Protocol):
    """A figure's function. One that takes something, as `FigureKind.takes` says, has a `view`."""

    def __call__(self, runs: Sequence[Run], *, style: str | Style = ...) -> Figure: ...


@dataclass(frozen=True)
class FigureKind:
    """A figure that `draw` knows.

    Attributes:
        name: its name on the command line.
        description: what it shows, in one line.
        needs: what a run must hold for it.
        path: ``package.module:function``, imported when it is drawn.
        per_page: how many settings fit one figure; more make further files. None: any number.
        own: the function, if it is of the user's own.
        takes: what may be said about its axes: ``x``, ``xlim``, ``ylim``, ``log x``, ``log y``.
        along: what its horizontal axis shows unless an ``x`` says something else; None if that is
            none of the words for ``x``.
    """

    name: str
    description: str
    needs: str
    path: str
    per_page: int | None = None
    own: Draws | None = None
    takes: frozenset[str] = frozenset()
    along: str | None = None

    @property
    def stem(self) -> str:
        """The name of its files, without an ending."""
        return self.name.replace(":", "-")

    @property
    def function(self) -> Draws:
        """The function that draws it, from runs to a matplotlib figure."""
        if self.own is not None:
            return self.own
        module, _, name = self.path.partition(":")
        function: Draws = getattr(importlib.import_module(module), name)
        return function


_LIMITS: Final = frozenset({"xlim", "ylim"})
_AXES: Final = _LIMITS | {"log x", "log y"}
_CURVES: Final = _AXES | {"x"}

FIGURES: Final = {
    kind.name: kind
    for kind in (
        FigureKind(
            "accuracy",
            "Accuracy against virtual time, with targets as light lines and bands over "
            "replications.",
            "evaluations (a run with training)",
            "afl_sim.analysis.figures.learning:accuracy",
            per_page=LOOKS,
            takes=_CURVES,
            along="time",
        ),
        FigureKind(
            "learning",
            "The main metric, such as accuracy, and loss against virtual time, versions, samples "
            "and bytes.",
            "evaluations (a run with training)",
            "afl_sim.analysis.figures.learning:learning",
            per_page=LOOKS,
            takes=_CURVES - {"ylim", "log y"},
            along="time",
        ),
        FigureKind(
            "metrics",
            "Every metric against virtual time, a panel each.",
            "evaluations of more than accuracy",
            "afl_sim.analysis.figures.learning:metrics",
            per_page=LOOKS,
            takes=_CURVES - {"ylim", "log y"},
            along="time",
        ),
        FigureKind(
            "gradient-norm",
            "Squared gradient norm of the training objective against virtual time, with quartile "
            "bands.",
            "evaluation.squared_gradient_norm",
            "afl_sim.analysis.figures.gradient:gradient_norm",
            per_page=LOOKS,
            takes=_CURVES,
            along="time",
        ),
        FigureKind(
            "time-to-accuracy",
            "Virtual time to each target of any metric; settings that did not reach it are marked.",
            "targets, and evaluations",
            "afl_sim.analysis.figures.targets:time_to_accuracy",
            per_page=LOOKS,
            takes=frozenset({"xlim"}),
            along="time",
        ),
        FigureKind(
            "class-accuracy",
            "Accuracy of each class over virtual time, one panel per setting.",
            "evaluations (a run with training)",
            "afl_sim.analysis.figures.classes:class_accuracy",
            per_page=6,
            takes=frozenset({"xlim"}),
            along="time",
        ),
        FigureKind(
            "fairness",
            "Accuracy on the labels of the fastest and of the slowest tenth of the clients.",
            "evaluations, and a record of the samples of each client",
            "afl_sim.analysis.figures.classes:fairness",
            per_page=LOOKS,
            takes=_CURVES,
            along="time",
        ),
        FigureKind(
            "per-client",
            "The metrics of each client at the end: the share of the clients up to each value.",
            "evaluation.per_client",
            "afl_sim.analysis.figures.clients:per_client",
            per_page=LOOKS,
        ),
        FigureKind(
            "heterogeneity",
            "The clients: their speeds, the time of their tasks by phase, their labels and "
            "samples.",
            "events with finished tasks",
            "afl_sim.analysis.figures.heterogeneity:heterogeneity",
        ),
        FigureKind(
            "groups",
            "The groups of clients: their share of the updates, the time of their tasks, their "
            "staleness and idle time.",
            "clients.groups, and events with finished tasks",
            "afl_sim.analysis.figures.fleet:groups",
            per_page=6,
        ),
        FigureKind(
            "presence",
            "The share of the clients that are available over virtual time, by group.",
            "clients that are not always available",
            "afl_sim.analysis.figures.fleet:presence",
            per_page=4,
            takes=_LIMITS,
            along="time",
        ),
        FigureKind(
            "stragglers",
            "Waiting in rounds, how often each client is last, idle time and contribution by "
            "speed.",
            "events with finished tasks",
            "afl_sim.analysis.figures.stragglers:stragglers",
            per_page=LOOKS,
        ),
        FigureKind(
            "staleness",
            "Distribution of staleness, one panel per setting, with the mean that theory predicts.",
            "events with aggregated updates",
            "afl_sim.analysis.figures.staleness:staleness",
            per_page=6,
            takes=_LIMITS | {"log y"},
        ),
        FigureKind(
            "staleness-speed",
            "Mean staleness of each client's updates against its speed.",
            "events with aggregated updates",
            "afl_sim.analysis.figures.staleness:staleness_by_speed",
            per_page=LOOKS,
            takes=_LIMITS | {"log y"},
        ),
        FigureKind(
            "staleness-time",
            "Staleness over virtual time: mean and spread, with the mean that theory predicts.",
            "events with aggregated updates",
            "afl_sim.analysis.figures.staleness:staleness_over_time",
            per_page=6,
            takes=_AXES,
            along="time",
        ),
        FigureKind(
            "adaptation",
            "Concurrency and buffer size over virtual time, as a controller changes them.",
            "server.adaptive",
            "afl_sim.analysis.figures.adaptation:adaptation",
            per_page=LOOKS,
            takes=_AXES,
            along="time",
        ),
        FigureKind(
            "timeline",
            "The activity of 20 clients and the server over virtual time, with versions and "
            "failures.",
            "events",
            "afl_sim.analysis.figures.timeline:timeline",
            per_page=4,
            takes=frozenset({"xlim"}),
            along="time",
        ),
        FigureKind(
            "network",
            "Bytes by direction, transfers in progress, queues and load of the server's links.",
            "transfers that take time",
            "afl_sim.analysis.figures.network:network",
            per_page=4,
            takes=frozenset({"xlim"}),
            along="time",
        ),
        FigureKind(
            "bandwidth",
            "The changing bandwidth of clients' links and of the server's, and the rates of "
            "transfers.",
            "clients.network or a link of the server with a bandwidth_trace",
            "afl_sim.analysis.figures.bandwidth:bandwidth",
            per_page=4,
            takes=_LIMITS,
            along="time",
        ),
        FigureKind(
            "sweep",
            "Measures against a setting that the study varies, with intervals over replications.",
            "runs of at least two settings",
            "afl_sim.analysis.figures.study:sweep",
            takes=_AXES - {"ylim"},
        ),
        FigureKind(
            "sweep-map",
            "A measure over two numeric settings of a study, as a heat map.",
            "a study of two numeric settings",
            "afl_sim.analysis.figures.sweep_map:sweep_map",
        ),
        FigureKind(
            "pareto",
            "Time to a target against the energy, price or carbon used until then; a line joins "
            "the settings that no other one beats in both.",
            "a study of settings whose energy, price or carbon is counted",
            "afl_sim.analysis.figures.pareto:pareto",
            per_page=LOOKS,
            takes=_CURVES,
        ),
        FigureKind(
            "differences",
            "Paired differences between settings, with their intervals.",
            "two settings with two seeds in common",
            "afl_sim.analysis.figures.differences:paired_differences",
        ),
    )
}
"""Every figure by name, in the order in which they are drawn."""
