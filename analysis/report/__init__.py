"""``report.html``: a run or a study as a self-contained page that works offline.

The page contains its style, script, figures (SVG) and data.
"""

from afl_sim.analysis.report.links import command
from afl_sim.analysis.report.pages import REPORT, write_run_report, write_study_report

__all__ = ["REPORT", "command", "write_run_report", "write_study_report"]
