"""What the benchmarks share: taking turns, ratios, and tables that name the machine."""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time

from afl_sim.machine import usable_processors

REFERENCE = Path(__file__).parent / "reference.yaml"


@dataclass(frozen=True)
class Section:
    """A table of results.

    Attributes:
        title: what was measured.
        command: how to measure it again.
        header, rows: the table.
        notes: paragraphs below it.
    """

    title: str
    command: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The section as Markdown."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        table = ["| " + " | ".join(row) + " |" for row in (self.header, rule, *self.rows)]
        return "\n\n".join([f"## {self.title}", f"`{self.command}`", "\n".join(table), *self.notes])


@dataclass(frozen=True)
class Turn:
    """One measured turn of a contender.

    Attributes:
        wall, cpu: seconds of the clock, and of the processor in the contender's own process.
        facts: whatever else it measured.
    """

    wall: float
    cpu: float
    facts: Mapping[str, float]


Prepare = Callable[[], Callable[[], Mapping[str, float] | None]]


class Contender:
    """A process of its own that does the same work once for every turn it is given.

    Args:
        prepare: called in that process; returns what is done, and timed, at each turn. A module's
            function, or a `functools.partial` of one.
    """

    def __init__(self, prepare: Prepare) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(prepare, theirs))
        self._process.start()
        theirs.close()

    def turn(self) -> Turn:
        """Have it do its work once."""
        self._pipe.send(True)
        turn: Turn = self._pipe.recv()
        return turn

    def end(self) -> None:
        """End its process."""
        self._pipe.close()
        self._process.join()


def _serve(prepare: Prepare, pipe: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    work = prepare()
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        wall, cpu = perf_counter(), process_time()
        facts = work()
        pipe.send(Turn(perf_counter() - wall, process_time() - cpu, facts or {}))


def alternate(preparations: Mapping[str, Prepare], rounds: int) -> dict[str, list[Turn]]:
    """Let contenders take turns, one at a time, so that all meet the same state of the machine.

    The first round warms up and is not counted.
    """
    contenders: dict[str, Contender] = {}
    try:
        for name, prepare in preparations.items():
            contenders[name] = Contender(prepare)
        turns: dict[str, list[Turn]] = {name: [] for name in contenders}
        for round_ in range(rounds + 1):
            for name, contender in contenders.items():
                turn = contender.turn()
                if round_:
                    turns[name].append(turn)
        return turns
    finally:
        for contender in contenders.values():
            contender.end()


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over rounds of one contender's number divided by the other's."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def machine() -> str:
    """The class of machine that a number belongs to."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{_processor()}, {usable_processors()} cores ({capability}), "
        f"Python {platform.python_version()}, torch {torch.__version__.partition('+')[0]}"
    )


def machine_name() -> str:
    """The class of machine as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", f"{_processor()} {usable_processors()} cores".lower()).strip(
        "-"
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        facts = dict(
            re.split(r"\s*:\s*", line.strip(), maxsplit=1) for line in lines if ":" in line
        )
    name = facts.get("model name", platform.machine())
    family, model = facts.get("cpu family", "?"), facts.get("model", "?")
    return f"{name} (family {family}, model {model})"


def main(measure: Callable[[bool], Section], description: str | None) -> None:
    """Run one benchmark as a script."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="less than a minute; a rough figure")
    section = measure(parser.parse_args().quick)
    print(f"{section.markdown()}\n\nOn: {machine()}")
