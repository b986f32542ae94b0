"""The folder of a run: leftovers are removed, lost files are made again, figures are kept up."""

from __future__ import annotations

import shutil
from contextlib import suppress

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording import Run, RunFolder
from afl_sim.recording.files import refuse_link, write_bytes, write_text
from afl_sim.recording.folder import SCENARIO
from afl_sim.recording.locking import LOCK
from afl_sim.recording.trace import trace_is_closed
from afl_sim.run.preparation import prepare
from afl_sim.run.recorder import shares_of, trace_of
from afl_sim.scenario import Scenario
from afl_sim.scenario.dumping import as_data
from afl_sim.scenario.yaml.writing import as_text


def tidy(run: Run) -> None:
    """Remove what is left if a process was killed just after it had written a run's last file.

    Nothing is changed while another process holds the folder, or if it cannot be written.
    """
    folder = RunFolder.open(run.path)
    checkpoint = folder.checkpoint_path
    if checkpoint.exists() or (run.path / LOCK).exists() or list(run.path.glob(".*.tmp")):
        with suppress(RunFolderError), folder.locked():
            shutil.rmtree(checkpoint, ignore_errors=True)


def keep_figures(run: Run, scenario: Scenario) -> None:
    """Take over how a scenario says that its figures are drawn, which may have changed since.

    Nothing is changed while another process holds the folder, if it cannot be written, or through
    a link.

    Args:
        run: of the same scenario, finished or not.
        scenario: as it is now.
    """
    figures = as_data(scenario)["figure"]
    if (run.scenario.get("figure") or []) == figures:
        return
    with suppress(AflSimError), RunFolder.open(run.path).locked():
        refuse_link(run.path)
        write_text(run.path / SCENARIO, as_text({**run.scenario, "figure": figures}))
        run.scenario["figure"] = figures


def lost_files(run: Run) -> list[str]:
    """The files of a finished run that are missing or damaged, and that `restore` can make again.

    Raises:
        RunFolderError: another file is missing or damaged; only the whole run can make it again.
    """
    folder = RunFolder.open(run.path)
    if not run.timing_only:
        run.model()
        if (run.scenario.get("recording") or {}).get("models") == "evaluations":
            for version in dict.fromkeys(run.metrics["version"].tolist()):
                run.model(version)
        if "personal_digest" in run.summary:
            run.personal(0)
    names = []
    try:
        partition = not run.label_counts.empty
    except RunFolderError:
        partition = False
    if not partition:
        names.append(folder.partition_path.name)
    recording = run.scenario.get("recording")
    if (
        isinstance(recording, dict)
        and recording.get("trace")
        and not trace_is_closed(folder.trace_path)
    ):
        names.append(folder.trace_path.name)
    return names


def restore(run: Run, scenario: Scenario, names: list[str]) -> None:
    """Make files of a finished run again.

    Args:
        run: the finished run.
        scenario: its scenario.
        names: the files, as `lost_files` gives them.

    Raises:
        AflSimError: another process is writing to the folder, or it cannot be written.
    """
    folder = RunFolder.open(run.path)
    with folder.locked():
        if folder.partition_path.name in names:
            prepared = prepare(scenario, run.timing_only)
            write_bytes(folder.partition_path, shares_of(prepared))
        if folder.trace_path.name in names:
            trace_of(run, scenario, run.main_metric)
