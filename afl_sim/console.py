"""What the command line shows while a run goes on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from afl_sim.scenario import Case, Scenario
    from afl_sim.simulation import Progress

_LINE_EVERY = 5.0  # wall seconds between lines where there is no terminal


class Display(AbstractContextManager["Display"]):
    """A progress bar per run on a terminal; on a pipe, a line every few seconds."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr)
        self._bar: Any = None

    def __enter__(self) -> Self:
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
        if self._bar is not None:
            self._bar.__exit__(kind, error, traceback)

    def watch(self, case: Case) -> Callable[[Progress], None]:
        """A new line of the display, for one case of a study."""
        return self.watch_run(case.label, case.scenario)

    def watch_run(self, label: str, scenario: Scenario) -> Callable[[Progress], None]:
        """A new line of the display, for one run."""
        began = monotonic()
        last = began
        task = None
        if self._bar is not None:
            task = self._bar.add_task(label, total=1.0, text="")

        def report(progress: Progress) -> None:
            nonlocal last
            now = monotonic()
            if now - last < (0.1 if self._bar is not None else _LINE_EVERY):
                return
            last = now
            share = fraction_done(scenario, progress)
            text = _text(progress, now - began)
            if self._bar is not None:
                self._bar.update(task, completed=share, text=text)
            else:
                self._console.print(f"{label}: {share:.0%}  {text}", highlight=False)

        return report

    def finish(self, text: str) -> None:
        """Say how a run ended."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class Interruption(AbstractContextManager["Interruption"]):
    """Ctrl-C and SIGTERM: the first stops at the next version, with a checkpoint; the second now.

    Args:
        say: shows a line.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._wanted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self._SIGNALS:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wanted(self) -> bool:
        """Whether the run is to stop."""
        return self._wanted

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._wanted:
            raise KeyboardInterrupt
        self._wanted = True
        self._say("stopping at the next version, with a checkpoint; once more to stop at once")


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
    accuracy = "" if progress.accuracy is None else f"  accuracy {progress.accuracy:.3f}"
    rate = progress.updates / elapsed if elapsed > 0 else 0.0
    return (
        f"{progress.seconds:,.0f} s virtual  version {progress.version}"
        f"{accuracy}  {rate:,.1f} updates/s"
    )
