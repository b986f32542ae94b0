"""What the command line shows during a run."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread, get_ident
from time import monotonic
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

from afl_sim.cli.output import Unfailing
from afl_sim.execution.pulse import end_what_is_stuck, stuck

if TYPE_CHECKING:
    from afl_sim.run.api import Progress
    from afl_sim.scenario import Case, Scenario

_LINE_EVERY = 5.0  # wall seconds between lines where there is no terminal
_DRAW_EVERY = 0.1  # wall seconds between updates of a bar
_SILENCE = 30.0  # wall seconds without an event after which a schedule is told of


class Display(AbstractContextManager["Display"]):
    """A progress bar for each run on a terminal; on a pipe, a line every few seconds.

    Several threads may report runs. A run whose schedule reaches no event cannot report; a line
    states this, and where the schedule is.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=cast(TextIO, Unfailing(sys.stderr)))
        self._bar: Any = None
        self._lock = Lock()
        self._lines: dict[str, _RunLine] = {}  # of the runs in progress
        self._overall: Any = None
        self._runs = 1
        self._ended = 0
        self._printed = monotonic()
        self._over = Event()

    def __enter__(self) -> Self:
        Thread(target=self._tell_of_silence, name="display", daemon=True).start()
        if self._console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:3.0f} %  {task.fields[text]}"),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._bar is not None:
            self._bar.__exit__(kind, error, traceback)

    def expect(self, runs: int) -> None:
        """Set the number of runs; several runs also get a line for all of them together."""
        self._runs = runs
        if self._bar is not None and runs > 1:
            self._overall = self._bar.add_task("all runs", total=runs, text=self._count())

    def watch(self, case: Case) -> Callable[[Progress], None]:
        """A new line of the display, for one case of a study."""
        return self.watch_run(case.label, case.scenario)

    def watch_run(self, label: str, scenario: Scenario) -> Callable[[Progress], None]:
        """A new line of the display, for one run."""
        line = _RunLine(label, monotonic())
        with self._lock:
            if not self._lines:  # what was silent before it began is not its silence
                self._printed = line.began
            line.thread = get_ident()
            self._lines[label] = line
            if self._bar is not None:
                line.task = self._bar.add_task(label, total=1.0, text="")

        def report(progress: Progress) -> None:
            now = monotonic()
            with self._lock:
                line.silent = False
                line.share = fraction_done(scenario, progress)
                line.text = _text(progress, now - line.began)
                if self._bar is not None:
                    self._draw(line, now)
                elif now - self._printed >= _LINE_EVERY:
                    self._print_next(now)

        return report

    def end(self, label: str, text: str) -> None:
        """Print how one of several runs ended, and remove its line."""
        with self._lock:
            self._ended += 1
            line = self._lines.pop(label, None)
            if self._bar is not None and self._runs > 1:
                if line is not None:
                    self._bar.remove_task(line.task)
                self._draw_overall()
        self.finish(text)

    def finish(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _tell_of_silence(self) -> None:
        while not self._over.wait(_SILENCE / 5):
            silent = stuck(_SILENCE)
            for label, line in list(self._lines.items()):
                if line.thread in silent and not line.silent:
                    line.silent = True
                    self.finish(
                        f"{label}: the schedule has reached no event for more than {_SILENCE:.0f} "
                        f"s; it is at {silent[line.thread]}"
                    )

    def _draw(self, line: _RunLine, now: float) -> None:
        if now - line.drawn >= _DRAW_EVERY:
            line.drawn = now
            self._bar.update(line.task, completed=line.share, text=line.text)
            if self._overall is not None:
                self._draw_overall()

    def _draw_overall(self) -> None:
        done = self._ended + sum(line.share for line in self._lines.values())
        self._bar.update(self._overall, completed=done, text=self._count())

    def _print_next(self, now: float) -> None:
        """Print the run that was not printed for the longest time."""
        line = min(self._lines.values(), key=lambda line: line.drawn)
        line.drawn = self._printed = now
        ended = "" if self._runs == 1 else f"  [{self._count()}]"
        self._console.print(
            f"{line.label}: {line.share:.0%}  {line.text}{ended}", highlight=False, markup=False
        )

    def _count(self) -> str:
        return f"{self._ended} of {self._runs} runs done"


@dataclass
class _RunLine:
    """The state of a run in progress.

    Attributes:
        label: the run's label.
        began, drawn: wall times at which the run began, and at which it was last shown.
        share: the share of the run that is done, 0 to 1.
        text: its numbers.
        task: its bar on a terminal.
        thread: the thread that runs its clock, unless a worker does.
        silent: whether a line has stated that it reaches no event.
    """

    label: str
    began: float
    drawn: float = 0.0
    share: float = 0.0
    text: str = "not begun"
    task: Any = None
    thread: int = 0
    silent: bool = False


class Interruption(AbstractContextManager["Interruption"]):
    """Ctrl-C, SIGTERM and SIGHUP: the first stops at the next version, with a checkpoint.

    Where no version comes it stops all the same, soon; the second stops at once. A SIGHUP that is
    ignored when this begins, as `nohup` has it, stays ignored.

    Args:
        say: shows a line.
        timing_only: whether nothing is trained, so that there is no checkpoint to write.

    Attributes:
        say, timing_only: may change from one run to the next.
    """

    _HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
    _SIGNALS = (signal.SIGINT, signal.SIGTERM, *([] if _HANGUP is None else [_HANGUP]))

    def __init__(self, say: Callable[[str], None], timing_only: bool = False) -> None:
        self.say = say
        self.timing_only = timing_only
        self._wanted = False
        self._over = Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            if number != self._HANGUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wanted(self) -> bool:
        """Whether the run should stop."""
        return self._wanted

    def check(self) -> None:
        """End here, between two runs, if a stop is wanted.

        Raises:
            KeyboardInterrupt: it is.
        """
        if self._wanted:
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._wanted:
            raise KeyboardInterrupt
        self._wanted = True
        Thread(
            target=end_what_is_stuck, args=(lambda: not self._over.is_set(),), daemon=True
        ).start()
        with suppress(RuntimeError):  # the signal came in the middle of another print
            checkpoint = "" if self.timing_only else ", with a checkpoint"
            self.say(f"stopping at the next version{checkpoint}; a second signal stops at once")


def fraction_done(scenario: Scenario, progress: Progress) -> float:
    """How near the run is to the nearest of its stop rules, 0 to 1."""
    stop = scenario.stop
    shares = [
        value / limit
        for limit, value in (
            (stop.virtual_seconds, progress.seconds),
            (stop.versions, progress.version),
            (stop.updates, progress.updates),
            (stop.samples, progress.samples),
        )
        if limit is not None
    ]
    return min(1.0, max(shares, default=0.0))


def _text(progress: Progress, elapsed: float) -> str:
    shown = progress.metric
    if shown is None and progress.accuracy is not None:
        shown = ("accuracy", progress.accuracy)
    metric = "" if shown is None else f"  {shown[0]} {shown[1]:.3f}"
    rate = progress.updates / elapsed if elapsed > 0 else 0.0
    return (
        f"{progress.seconds:,.0f} s virtual  version {progress.version}"
        f"{metric}  {rate:,.1f} updates/s"
    )
