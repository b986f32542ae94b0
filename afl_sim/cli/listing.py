"""What ``afl-sim list`` prints: the names that a scenario can use, one per line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from afl_sim.errors import InputError

if TYPE_CHECKING:
    from afl_sim.scenario.own_rules import RuleKind

Lines = Iterable[tuple[str, str]]


def listing(what: str) -> Lines:
    """Pairs of name and description.

    Raises:
        InputError: there is no such list.
    """
    lists: dict[str, Callable[[], Lines]] = {
        "strategies": _strategies,
        "models": _models,
        "datasets": _datasets,
        "partitions": _partitions,
        "distributions": _distributions,
        "selections": _selections,
        "staleness-weights": _weights,
        "controllers": _controllers,
        "attacks": _attacks,
        "compressors": _compressors,
        "losses": _losses,
        "metrics": _metrics,
        "power": _power,
        "networks": _networks,
        "figures": _figures,
        "papers": _papers,
        "scenarios": _scenarios,
    }
    if what not in lists:
        from afl_sim.scenario.wording import hint

        expected = f"expected one of {', '.join(lists)}{hint(what, lists)}"
        raise InputError(f"cannot list {what!r}; {expected}")
    return lists[what]()


def first_line(thing: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _strategies() -> Lines:
    from afl_sim.strategies import strategies

    for name, cls in sorted(strategies().items()):
        about = vars(cls).get("about")
        if about is None:
            yield name, first_line(cls)
            continue
        checked = f" [{about.standing}]" if about.standing else ""
        source = f" Checked: {about.source}." if about.source else ""
        doubt = f" Unconfirmed: {about.unconfirmed}." if about.unconfirmed else ""
        yield (
            name,
            f"{about.timing}; {first_line(cls)} Keeps {about.keeps}. {about.citation}{checked}."
            f"{source}{doubt}",
        )


def _models() -> Lines:
    from afl_sim.learning.models.built_in import MODELS

    return [(name, first_line(cls)) for name, cls in MODELS.items()]


def _datasets() -> Lines:
    from afl_sim.scenario.sections.data import DATASETS

    for name, info in DATASETS.items():
        shape = "x".join(map(str, info.input_shape))
        where = "comes with the package" if name == "mnist" else "needs data.root or data.download"
        yield (
            name,
            f"{info.title}: {info.train:,} + {info.test:,} images of {shape}, "
            f"{info.classes} {'classes' if info.target == 'class' else 'attributes'}; {where}",
        )


def _partitions() -> Lines:
    from afl_sim.scenario.sections.partitions import PARTITIONS

    return [(name, first_line(cls)) for name, cls in PARTITIONS.items()]


def _distributions() -> Lines:
    from afl_sim.scenario.distributions.families import FAMILIES, family_parameters

    for name, family in FAMILIES.items():
        kind = "continuous" if family.continuous else "discrete"
        yield name, f"{kind}; {', '.join(family_parameters(name) or ())}"


def _figures() -> Lines:
    from afl_sim.analysis.own_figures import all_figures

    return [(name, figure.description) for name, figure in all_figures().items()]


def _selections() -> Lines:
    from afl_sim.scenario.sections.selection import SELECTIONS, AnySelection

    return _rules(SELECTIONS, AnySelection)


def _weights() -> Lines:
    from afl_sim.strategies.toolkit.staleness import STALENESS_WEIGHTS, AnyStalenessWeight

    return _rules(STALENESS_WEIGHTS, AnyStalenessWeight)


def _controllers() -> Lines:
    from afl_sim.scenario.sections.controllers import CONTROLLERS, AnyController

    return _rules(CONTROLLERS, AnyController)


def _attacks() -> Lines:
    from afl_sim.scenario.sections.attack import ATTACKS, AnyAttack

    return _rules(ATTACKS, AnyAttack)


def _compressors() -> Lines:
    from afl_sim.scenario.sections.compression import COMPRESSORS, Upload

    return _rules(COMPRESSORS, Upload)


def _losses() -> Lines:
    from afl_sim.scenario.sections.losses import FITS, LOSS_RULES

    yield from ((name, f"for {_labels(fits)}") for name, fits in FITS.items())
    yield from _installed(LOSS_RULES, FITS)


def _metrics() -> Lines:
    from afl_sim.scenario.sections.metrics import METRIC_RULES, METRICS

    for name, info in METRICS.items():
        yield name, f"{info.meaning}; for {_labels(info.fits)}; {info.better} is better"
    yield from _installed(METRIC_RULES, METRICS)


def _labels(fits: Iterable[str]) -> str:
    """The forms of labels in words."""
    words = {"class": "classes", "number": "numbers", "several": "several labels"}
    return ", ".join(words.get(form, form) for form in fits)


def _rules(kind: RuleKind, block: Any) -> Lines:
    """Built-in kinds of a block, and those of installed packages."""
    from afl_sim.scenario.mistakes.lookup import kinds_of, models_in

    built_in = {kinds_of([spec])[0]: first_line(spec) for spec in models_in(block)}
    yield from built_in.items()
    yield from _installed(kind, built_in)


def _installed(kind: RuleKind, built_in: Iterable[str]) -> Lines:
    """The rules of a kind that installed packages offer under names of their own."""
    taken = set(built_in)
    for name in kind.named():
        if name not in taken:
            yield name, first_line(kind.find(name))


def _power() -> Lines:
    from afl_sim.scenario.sections.energy_presets import POWER

    return [(name, preset.described) for name, preset in POWER.items()]


def _networks() -> Lines:
    from afl_sim.scenario.sections.energy_presets import NETWORKS

    return [(name, preset.described) for name, preset in NETWORKS.items()]


def _papers() -> Lines:
    from afl_sim.papers.overview import papers

    return papers()


def _scenarios() -> Lines:
    import yaml

    from afl_sim.scenario.bundled import scenario_folder

    for file in sorted(scenario_folder().glob("*.yaml")):
        yield file.stem, " ".join(str(yaml.safe_load(file.read_text())["description"]).split())
