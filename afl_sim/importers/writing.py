"""Writing what was imported: whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from afl_sim.errors import InputError
from afl_sim.importers.imported import Imported
from afl_sim.recording.drafts import Draft
from afl_sim.recording.files import writing

_SCENARIO = (".yaml", ".yml")


def write(imported: Imported, out: Path, force: bool = False) -> list[Path]:
    """Write the tables and the scenario; returns the files in the order of writing.

    A scenario has its tables beside it: ``fleet.yaml`` comes with ``fleet-devices.csv``. If ``out``
    ends in ``.csv``, the only table is written there, and no scenario.

    Args:
        imported: what was made.
        out: the scenario's file, or the table's.
        force: whether files that exist are replaced.

    Raises:
        InputError: ``out`` has another suffix, there are several tables for one file, or a file
            exists.
        AflSimError: something cannot be written; then nothing is.
    """
    if out.suffix == ".csv":
        if len(imported.tables) != 1:
            names = ", ".join(table.name for table in imported.tables)
            raise InputError(
                f"--out: {out} is one table, but there are {len(imported.tables)} ({names}); "
                f"expected a scenario, such as {out.with_suffix('.yaml')}, which has them beside it"
            )
        contents = {out: imported.tables[0].text()}
    elif out.suffix in _SCENARIO:
        places = {table.name: f"{out.stem}-{table.name}.csv" for table in imported.tables}
        contents = {out.with_name(places[t.name]): t.text() for t in imported.tables}
        contents[out] = imported.scenario(places)
    else:
        raise InputError(f"--out: got {out}; expected a file that ends in .yaml or .csv")
    there = [path for path in contents if path.exists() or path.is_symlink()]
    if there and not force:
        raise InputError(f"{there[0]} exists; expected another --out, or --force")
    _write_all(contents)
    return list(contents)


def _write_all(contents: Mapping[Path, str]) -> None:
    drafts: list[Draft] = []
    new: list[Path] = []
    try:
        for path, text in contents.items():
            with writing(path):
                drafts.append(Draft(path))
                drafts[-1].handle.write(text.encode())
        while drafts:
            path = drafts[0].path
            was_there = path.exists()
            with writing(path):
                drafts[0].publish()
            drafts.pop(0)
            if not was_there:
                new.append(path)
    except BaseException:
        for draft in drafts:
            draft.withdraw()
        for path in new:
            with suppress(OSError):
                path.unlink()
        raise
