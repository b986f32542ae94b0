"""FedProx (Li et al., MLSys 2020), Figures 1 and 7: learning with 0, 50 and 90 % stragglers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from afl_sim.analysis.curves import mean_curve
from afl_sim.analysis.figures.lines import draw_line, name_fewer
from afl_sim.analysis.replications import seed
from afl_sim.analysis.theme import PALETTE, new_figure, themed
from afl_sim.recording import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES: Final = (0.0, 0.5, 0.9)
_ROUND_50: Final = 25  # the number of the evaluation there
ROWS: Final = {  # of the figure: study -> what is drawn, its name
    "figure7": ("accuracy", "test accuracy (%), E = 20"),
    "flower": ("accuracy", "test accuracy (%), E = 10"),
    "figure1": ("loss", "training loss, E = 20"),
}
LOOKS: Final = {
    "FedAvg": (PALETTE[0], "-"),
    "mu = 0": (PALETTE[1], "--"),
    "mu > 0": (PALETTE[2], "-"),
}


def measure(
    studies: Mapping[str, Sequence[Run]],
) -> dict[str, dict[str, list[float | None]] | list[bool]]:
    """The rows and claims of ``target.yaml``."""
    found: dict[str, Any] = {}
    if "devices" in studies:
        found["devices"] = _devices(studies["devices"])
    if "flower" in studies:
        curves = curves_of(studies["flower"])
        found["accuracy50to100"] = _rows(curves, _from_round_50)
        found["accuracy100"] = _rows(curves, lambda accuracy: float(accuracy[-1]))
    if "sensitivity" in studies:
        found |= _sensitivity(studies["sensitivity"])
    if "figure1" in studies:
        found["loss"] = _rows(curves_of(studies["figure1"], "loss"), _last_quarter)
        found |= _claims_on_loss(found["loss"])
    if "figure7" in studies:
        curves = curves_of(studies["figure7"])
        found["accuracy"] = _rows(curves, _last_quarter)
        found["roughness"] = _rows(curves, roughness)
        found |= _claims(found["accuracy"], found["roughness"])
    return found


def _last_quarter(values: Any) -> float:
    """The mean of rounds 76 to 100: evaluations are two apart, the first before round 1."""
    return float(values[3 * len(values) // 4 :].mean())


def _from_round_50(values: Any) -> float | None:
    """The mean from round 50 on: evaluations are two rounds apart. None if the run is shorter."""
    return float(values[_ROUND_50:].mean()) if len(values) > _ROUND_50 else None


def method(run: Run) -> tuple[str, float]:
    """The name of a run's method, and its share of stragglers."""
    strategy = run.scenario["strategy"]
    if strategy["kind"] == "fedavg":  # the update of a straggler is lost, as in a crash
        return "FedAvg", float(run.scenario["clients"]["faults"]["crash"])
    name = "FedAvg" if strategy["partial"] == "drop" else f"mu = {strategy['mu']:g}"
    return name, float(strategy["stragglers"])


def curves_of(runs: Sequence[Run], value: str = "accuracy") -> dict[tuple[str, float], list[Any]]:
    """What each method evaluates to with each share of stragglers: an array for each seed in order.

    Without stragglers FedAvg and FedProx with mu = 0 are one algorithm, run once.
    """
    curves: dict[tuple[str, float], list[Any]] = {}
    for run in sorted(runs, key=seed):
        curves.setdefault(method(run), []).append(run.evaluations[value].to_numpy())
    return curves


def roughness(accuracy: Any) -> float:
    """The root mean square change from one evaluation to the next, over the second half."""
    return float(np.sqrt(np.mean(np.diff(accuracy[len(accuracy) // 2 :]) ** 2)))


def _rows(
    curves: Mapping[tuple[str, float], list[Any]], number: Any
) -> dict[str, list[float | None]]:
    rows = {_label(*key): [number(each) for each in found] for key, found in curves.items()}
    if any(name == "mu = 2" for name, _ in curves):  # the second source reports both
        rows[_label("mu = 0", 0.0)] = rows[_label("FedAvg", 0.0)]
    return rows


def _label(name: str, share: float) -> str:
    return f"{name}, {100 * share:.0f} % stragglers"


def _claims(accuracy: Mapping[str, Any], jumps: Mapping[str, Any]) -> dict[str, list[bool]]:
    def each(name: str, share: float, rows: Mapping[str, Any]) -> list[float]:
        return list(rows[_label("FedAvg" if share == 0 and name == "mu = 0" else name, share)])

    steadier = [
        _less(each("mu = 1", share, jumps), each("mu = 0", share, jumps)) for share in SHARES
    ]
    none, half, most = (each("FedAvg", share, accuracy) for share in SHARES)
    return {
        "partial_work_helps": _less(most, each("mu = 0", 0.9, accuracy)),
        "proximal_term_helps": _less(each("mu = 0", 0.9, accuracy), each("mu = 1", 0.9, accuracy)),
        "proximal_term_steadies": [all(truths) for truths in zip(*steadier, strict=True)],
        "stragglers_hurt_fedavg": [
            a and b for a, b in zip(_less(half, none), _less(most, half), strict=True)
        ],
    }


def _claims_on_loss(loss: Mapping[str, Any]) -> dict[str, list[bool]]:
    dropped, kept, proximal = (loss[_label(name, 0.9)] for name in ("FedAvg", "mu = 0", "mu = 1"))
    return {
        "partial_work_lowers_loss": _less(kept, dropped),
        "proximal_term_lowers_loss": _less(proximal, kept),
    }


def _less(a: Sequence[float], b: Sequence[float]) -> list[bool]:
    return [x < y for x, y in zip(a, b, strict=True)]


def _sensitivity(runs: Sequence[Run]) -> dict[str, Any]:
    later: dict[str, list[Any]] = {}
    for run in sorted(runs, key=seed):
        accuracy = run.evaluations.accuracy.to_numpy()
        later.setdefault(_reading(run.scenario), []).append(accuracy[_ROUND_50:])
    return {
        "sensitivity": {name: [float(a.mean()) for a in each] for name, each in later.items()},
        "lowest": {name: [float(a.min()) for a in each] for name, each in later.items()},
    }


def _reading(scenario: Mapping[str, Any]) -> str:
    """The setting in which a run differs from those of Flower's baseline."""
    replaced = {
        "each pixel standardised by itself": scenario["data"]["normalize"] == "pixelwise",
        "pixels in [0, 1]": scenario["data"]["normalize"] == "unit",
        "no weight decay": not scenario["training"]["optimizer"]["weight_decay"],
        "all samples of a device are trained on": not scenario["data"]["client_test"],
        "exactly nine stragglers in each round": scenario["strategy"]["kind"] == "fedprox",
    }
    names = [name for name, differs in replaced.items() if differs]
    if len(names) > 1:
        return "all of these, as assumed before (pixelwise)"
    return names[0] if names else "as in Flower's baseline"


def _devices(runs: Sequence[Run]) -> dict[str, list[float | None]]:
    rows: dict[str, list[float | None]] = {}
    for run in sorted(runs, key=seed):
        sizes = run.label_counts.sum(axis=1)
        sigma = run.scenario["data"]["partition"]["sigma"]
        if sigma == 2:
            rows.setdefault("mean", []).append(float(sizes.mean()))
            rows.setdefault("standard deviation", []).append(float(sizes.std(ddof=0)))
        else:
            key = f"standard deviation, sigma {sigma:g}"
            rows.setdefault(key, []).append(float(sizes.std(ddof=0)))
    return rows


def draw(studies: Mapping[str, Sequence[Run]], target: Any) -> Figure | None:
    """A row of panels for each study that trained, a column for each share of stragglers.

    Where none of these was run: how many samples the devices hold. None where that is not known
    either.
    """
    shown = [name for name in ROWS if name in studies]
    with themed() as style:
        if not shown:
            if "devices" not in studies:
                return None
            figure = new_figure(style.width / 2, 3.0)
            _device_sizes(figure.subplots(), studies["devices"])
            return figure
        figure = new_figure(style.width, 2.4 * len(shown) + 0.5)
        grid = figure.subplots(len(shown), len(SHARES), sharey="row", squeeze=False)
        for row, name in zip(grid, shown, strict=True):
            value, label = ROWS[name]
            for axes, share in zip(row, SHARES, strict=True):
                axes.set_visible(any(method(run)[1] == share for run in studies[name]))
                _panel(axes, studies[name], share, value, name == "flower")
                if name == "flower":
                    _readings(axes, target, share)
            first = next(axes for axes in row if axes.get_visible())
            first.set(ylabel=label, ylim=(0, 100 if value == "accuracy" else 2.5))
            first.tick_params(labelleft=True)
        for axes, share in zip(grid[0], SHARES, strict=True):
            axes.set_title(f"{100 * share:.0f} % stragglers")
        handles: dict[str, Any] = {}
        names: dict[str, list[str]] = {look: [] for look in LOOKS}
        for axes in grid.flat:
            axes.set_xlabel("round")
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(_look(name), handle)
                if name not in names[_look(name)]:
                    names[_look(name)].append(name)
        drawn = [look for look in LOOKS if look in handles]
        figure.legend(
            [handles[look] for look in drawn],
            [" / ".join(names[look]) for look in drawn],
            loc="outside lower center",
            ncols=len(drawn),
        )
        shown_axes = [axes for axes in grid.flat if axes.get_visible()]
        name_fewer(figure, shown_axes, style, "round {}")
    return figure


def _device_sizes(axes: Axes, runs: Sequence[Run]) -> None:
    """Each seed's devices in order of size."""
    for run in runs:
        if run.scenario["data"]["partition"]["sigma"] == 2:
            sizes = np.sort(run.label_counts.sum(axis=1).to_numpy())[::-1]
            axes.plot(range(1, len(sizes) + 1), sizes, color=PALETTE[0], linewidth=0.7)
    axes.set(xscale="log", yscale="log", xlabel="device, by size", ylabel="samples")


def _panel(
    axes: Axes, runs: Sequence[Run], share: float, value: str, by_clock: bool = False
) -> None:
    """The curves of one share of stragglers; with ``by_clock`` a round takes a second."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=seed):
        name, stragglers = method(run)
        if stragglers == share:
            groups.setdefault(name, []).append(run)
    for name, found in groups.items():
        curve = mean_curve(found, "time" if by_clock else "versions", value)
        color, line = LOOKS[_look(name)]
        draw_line(axes, curve, name, color, line, width=1.2)


def _readings(axes: Axes, target: Any, share: float) -> None:
    """What was read off the second source's plot, at round 100."""
    rows = target.tables["accuracy50to100"].rows
    for name in ("FedAvg", "mu = 0", "mu = 2"):
        color, _ = LOOKS[_look(name)]
        reported = rows[_label(name, share)].reported
        axes.plot([100], [100 * reported], "o", mfc="none", color=color, clip_on=False)


def _look(name: str) -> str:
    return name if name in LOOKS else "mu > 0"
