"""What a user says about a figure: its axes, what it shows, its size; and where this is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from afl_sim.analysis.registry import FIGURES, FigureKind
from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.recording.folder import SCENARIO
from afl_sim.scenario.sections.figure import FigureBlock, figure_blocks, measured
from afl_sim.scenario.wording import show

_LIMITS: Final = ("xlim", "ylim")


def read_block(written: dict[str, Any], where: str = "--") -> FigureBlock:
    """A block from plain data.

    Args:
        written: its keys.
        where: what a message writes before a key.

    Raises:
        InputError: one line for each mistake.
    """
    try:
        return FigureBlock.model_validate(written)
    except ValidationError as error:
        raise InputError("\n".join(_lines(error, written, where))) from None


def _lines(error: ValidationError, written: dict[str, Any], where: str) -> Iterator[str]:
    from afl_sim.scenario.mistakes.explain import explain  # it knows all of a scenario

    for finding in explain(error, written, None, FigureBlock):
        key = str(finding.path[0]) if finding.path else ""
        # A mistake of several keys together has no key, and its message names one.
        yield f"{where}{key}: {finding.message}" if key else f"{where}{finding.message}"


def read_options(
    runs: Sequence[Run], words: Mapping[str, str | None], several: Mapping[str, list[str] | None]
) -> FigureBlock:
    """A block from options of the command line.

    Args:
        runs: what is drawn; their names decide which commas are part of a name.
        words: options with one value; None where they are not given.
        several: options that list values.

    Raises:
        InputError: one line for each mistake.
    """
    from afl_sim.analysis.choosing import split

    written: dict[str, Any] = {key: text for key, text in words.items() if text is not None}
    for key in _LIMITS:
        if key in written:
            written[key] = limits(written[key])
    for key, texts in several.items():
        if texts:
            named = key in ("settings", "order")
            parts = split(texts, runs) if named else ",".join(texts).split(",")
            written[key] = [part.strip() for part in parts]
    return read_block(written)


def limits(text: str) -> list[float | str | None]:
    """The ends in ``LOW,HIGH``; either may be left out, as in ``10,``."""
    ends = [part.strip() for part in text.split(",")]
    return [None if not end else _number(end) for end in ends]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def blocks_of(runs: Sequence[Run]) -> tuple[list[FigureBlock], str]:
    """The blocks ``figure:`` of runs, and a note if they do not agree.

    Runs without a block agree with all others.

    Raises:
        InputError: a block is not valid.
    """
    found: dict[tuple[FigureBlock, ...], Run] = {}
    for run in runs:
        written = figure_blocks(run.scenario.get("figure"))
        where = f"{run.path / SCENARIO}: figure."
        for block in written:
            if not isinstance(block, dict):
                raise InputError(f"{where[:-1]}: got {show(block)}; expected a block")
        blocks = tuple(read_block(block, where) for block in written)
        if blocks:
            found.setdefault(blocks, run)
    if not found:
        return [], ""
    first = next(iter(found.values()))
    note = f"the runs have different `figure:` blocks; those of {first.label} are used"
    return list(next(iter(found))), note if len(found) > 1 else ""


def wanted(
    blocks: Sequence[FigureBlock], options: FigureBlock, names: Sequence[str] | None
) -> list[FigureBlock]:
    """Which figures are drawn, and how.

    Args:
        blocks: of the runs.
        options: of the command line; they override every block.
        names: the figures or files that are asked for; None: all of the blocks, or all figures.
    """
    given = {key: getattr(options, key) for key in options.model_fields_set}
    general = next((block for block in blocks if block.name is None), FigureBlock())
    if names is None:
        chosen = list(blocks) or [general]
    else:
        chosen = []
        for name in names:
            own = [block for block in blocks if block.name and name in (block.name, block.file)]
            chosen += own or [general.model_copy(update={"name": name, "file": None})]
    return [block.model_copy(update=given) for block in chosen]


def problems(blocks: Sequence[FigureBlock]) -> Iterator[tuple[int, str, str]]:
    """What is wrong with blocks that are valid in themselves: which, its key, and a message.

    A figure of the user's own is not imported, so that a run does not need it.
    """
    from afl_sim.analysis.own_figures import ENTRY_POINTS, unknown
    from afl_sim.scenario.own_rules import installed

    files: dict[str, int] = {}
    for index, block in enumerate(blocks):
        if block.name is None:
            for key in block.steering:
                yield index, key, f"for which figure? expected `name` beside it{_such_as(key)}"
        elif block.name in FIGURES:
            kind = FIGURES[block.name]
            yield from ((index, *problem) for problem in _unfit(kind, block))
        elif ":" not in block.name and block.name not in installed(ENTRY_POINTS):
            yield index, "name", unknown(block.name)
        stem = block.file or (block.name or "").replace(":", "-")
        if stem in files:
            what = f"the files of two blocks would be named {show(stem)}"
            yield index, "file", f"{what}; expected another `file` in one of them"
        files[stem] = index


def check(kind: FigureKind, block: FigureBlock, prefix: str = "--") -> None:
    """Refuse what a figure has no use for.

    Raises:
        InputError: there is such a thing.
    """
    for key in block.steering if block.name is None else ():
        raise InputError(f"{prefix}{key}: for which figure? expected --figure NAME{_such_as(key)}")
    for key, message in _unfit(kind, block):
        raise InputError(f"{prefix}{key}: {message}")


def _unfit(kind: FigureKind, block: FigureBlock) -> Iterator[tuple[str, str]]:
    for key in block.steering:
        for what in [f"log {axis}" for axis in block.log] if key == "log" else [key]:
            if what not in kind.takes:
                yield key, f"the figure {kind.name} has no use for {what}{_such_as(what)}"
            elif what in _LIMITS:
                yield from ((key, message) for message in _other_units(kind, block, key))
    if kind.name == "learning" and block.x is None:
        for key in block.steering:
            yield key, "the figure learning has four horizontal axes; expected an x beside it"


def _other_units(kind: FigureKind, block: FigureBlock, key: str) -> Iterator[str]:
    """What is wrong with the units of limits: those of another axis than the figure has."""
    axis = (block.x or kind.along) if key == "xlim" and kind.along else None
    for end in getattr(block, key):
        if isinstance(end, str) and measured(end)[0] != axis:
            what = f"shows {axis}" if axis else f"of {kind.name} has a unit of its own"
            where = "horizontal" if key == "xlim" else "vertical"
            yield f"got {show(end)}, but the {where} axis {what}; expected a number in its unit"


def _such_as(what: str) -> str:
    """The figures that take something."""
    names = [
        kind.name for kind in FIGURES.values() if {what, f"{what} x", f"{what} y"} & kind.takes
    ]
    return f"; figures with {what}: {', '.join(names)}"
