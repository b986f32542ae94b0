"""Tables with a header row, whose columns have other names elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from afl_sim.errors import InputError
from afl_sim.importers.reading import Source
from afl_sim.scenario.traces.tables.cells import is_number
from afl_sim.scenario.traces.tables.formats import other_separator
from afl_sim.scenario.units import DURATION, Quantity
from afl_sim.scenario.wording import hint, show


def one_table(source: Source) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the rows under them with their lines.

    Raises:
        InputError: there is no proper header.
    """
    rows = source.rows()
    line, header = next(rows)
    separator = other_separator(header)
    if separator is not None:
        raise InputError(
            f"{source.path}:{line}: the cells are separated by {separator}; expected commas"
        )
    for cell in header:
        if is_number(cell):
            raise InputError(
                f"{source.path}:{line}: the header has the number {show(cell)} as a name; expected "
                "a header row with the names of the columns"
            )
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{source.path}:{line}: column {twice!r} twice; expected it once")
    return header, _of_width(source, rows, len(header))


def _of_width(
    source: Source, rows: Iterator[tuple[int, list[str]]], width: int
) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) == width:
            yield line, cells
        else:
            count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
            source.wrong(line, f"{count}; expected {width}, as in the header")


def named(
    source: Source,
    header: Sequence[str],
    usual: Mapping[str, Sequence[str]],
    given: Mapping[str, Sequence[str]],
    needed: Sequence[str] = (),
) -> dict[str, int]:
    """The places of columns by what they mean.

    Args:
        source: the file.
        header: the names of its columns.
        usual: for each meaning the names that are usual, in small letters; a unit may follow.
        given: for each meaning the names that the user has given, which go first.
        needed: the meanings that there must be.

    Raises:
        InputError: a column is missing, or a meaning is unknown.
    """
    for key in given:
        if key not in usual:
            raise InputError(
                f"--column: unknown meaning {key!r}; expected some of {', '.join(usual)}"
                f"{hint(key, usual)}"
            )
    places: dict[str, int] = {}
    for key, names in usual.items():
        own = [name for name in given.get(key, ()) if name in header]
        if key in given and not own:
            raise InputError(
                f"{source.path}:1: no column {given[key][0]!r}, as --column says; the file has "
                f"{', '.join(header)}{hint(given[key][0], header)}"
            )
        found = own or [
            name
            for want in names
            for name in header
            if _plain(name) == want or _with_unit(_plain(name), want)
        ]
        if found:
            places[key] = header.index(found[0])
        elif key in needed:
            raise InputError(
                f"{source.path}:1: no column of {key}s; the file has {', '.join(header)}; expected "
                f"one named {names[0]}, or --column {key}=NAME"
            )
    return places


def factor_of(source: Source, name: str, quantity: Quantity, how: str) -> float | None:
    """What makes base units of a column's numbers; None if its name says no unit.

    Args:
        source: the file.
        name: of the column.
        quantity: what its numbers are.
        how: how a unit can be given elsewhere.

    Raises:
        InputError: the name says a unit of something else, or one that could be misread.
    """
    why = quantity.misnamed(name, how)
    if why is not None:
        raise InputError(f"{source.path}:1: {why}")
    return quantity.of_column(name)


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _with_unit(name: str, want: str) -> bool:
    rest = name.removeprefix(f"{want}_")
    return rest != name and DURATION.in_name(rest) is not None
