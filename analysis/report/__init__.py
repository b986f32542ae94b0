"""``report.html``: a run or a study as one page that needs nothing else.

The page holds its style, script, figures (SVG) and data; a browser shows it without a network.
"""

from afl_sim.analysis.report.links import command
from afl_sim.analysis.report.pages import REPORT, write_run_report, write_study_report

__all__ = ["REPORT", "command", "write_run_report", "write_study_report"]
