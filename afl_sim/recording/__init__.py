"""Recording: what a run writes, and reading it back.

Nothing here imports torch, SimPy or a plotting library; pandas and pyarrow are imported when a log
is opened or a table is asked for.
"""

from afl_sim.recording.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from afl_sim.recording.diff import Divergence, first_divergence
from afl_sim.recording.diff_text import format_divergence
from afl_sim.recording.events import EventLog
from afl_sim.recording.folder import RunFolder
from afl_sim.recording.manifest import build_manifest
from afl_sim.recording.metrics import MetricsLog
from afl_sim.recording.reading import load_head, load_run, load_runs
from afl_sim.recording.recorded_run import Run
from afl_sim.recording.result_folder import check_free
from afl_sim.recording.shares import write_partition
from afl_sim.recording.study_folder import StudyFolder
from afl_sim.recording.tasks import task_table
from afl_sim.recording.trace import write_trace

__all__ = [
    "Divergence",
    "EventLog",
    "MetricsLog",
    "Run",
    "RunFolder",
    "StudyFolder",
    "build_manifest",
    "check_free",
    "first_divergence",
    "format_divergence",
    "latest_checkpoint",
    "load_checkpoint",
    "load_head",
    "load_run",
    "load_runs",
    "save_checkpoint",
    "task_table",
    "write_partition",
    "write_trace",
]
