"""Analysis: figures and comparisons of run folders.

Reads runs through `afl_sim.recording` only. Plotting libraries are imported when a figure is drawn,
so that listing what there is stays quick.
"""

from afl_sim.analysis.compare import print_comparison, write_comparison
from afl_sim.analysis.compared_runs import comparison
from afl_sim.analysis.drawing import Drawn, draw
from afl_sim.analysis.registry import FIGURES, FigureKind
from afl_sim.analysis.usable import CannotDraw

__all__ = [
    "FIGURES",
    "CannotDraw",
    "Drawn",
    "FigureKind",
    "comparison",
    "draw",
    "print_comparison",
    "write_comparison",
]
