"""Writing results: beside the runs, and into the folder of the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.papers.pages import to_csv, to_markdown
from afl_sim.papers.results import Results, read_results
from afl_sim.papers.target import Target, paper_folder
from afl_sim.recording.files import os_reason, write_bytes, write_text
from afl_sim.recording.locking import lock_of
from afl_sim.scenario.bundled import scenario_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder and keep other processes that write results out of it; they wait.

    Raises:
        AflSimError: it cannot be made or locked.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AflSimError(f"cannot make the folder {folder}: {os_reason(error)}") from error
    with ExitStack() as held:
        try:
            held.enter_context(lock_of(folder, wait=True))
        except RunFolderError as error:
            raise AflSimError(str(error)) from error  # what was run is there
        yield


def write_tables(target: Target, results: Results, place: Path) -> list[Path]:
    """Write results and tables into a folder; returns the tables.

    Raises:
        AflSimError: they cannot be written there.
    """
    results.write(place / "results.json")
    write_text(place / "table.csv", to_csv(target, results))
    write_text(place / "table.md", to_markdown(target, results))
    return [place / "table.csv", place / "table.md"]


def write_figure(target: Target, figure: Figure, place: Path) -> list[Path]:
    """Write a target's figure into a folder; returns the files.

    Raises:
        AflSimError: they cannot be written there.
    """
    from afl_sim.analysis.drawing import save

    return save(figure, place / target.name, ("png", "pdf"))


def keep(target: Target, results: Results, written: Sequence[Path]) -> list[Path]:
    """Write results beside the target, and its figure among those of the documentation.

    What is there already of studies that were not run stays. The figure shows only what was run,
    so that it is left as it is where something stays; that of the small scale gives way to that of
    the full one.

    Returns:
        The files.

    Raises:
        AflSimError: they cannot be written there.
    """
    path = target.results(results.scale)
    with alone_in(path.parent):
        earlier = read_results(path)
        here, results = results, results if earlier is None else results.completed_by(earlier)
        results.write(path)
        write_text(path.with_suffix(".csv"), to_csv(target, results))
        kept = [path, path.with_suffix(".csv")]
        images = scenario_folder().parent / "docs" / "images"
        ours = target.folder.resolve().parent == paper_folder().resolve()
        best = results.scale == "full" or not target.results("full").exists()
        if best and results is here and images.is_dir() and ours:
            for picture in (path for path in written if path.suffix == ".png"):
                kept.append(images / f"papers-{target.name}.png")
                write_bytes(kept[-1], picture.read_bytes())
    return kept
