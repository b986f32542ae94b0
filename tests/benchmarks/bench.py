"""All benchmarks, one after another; their tables go to results/<class of machine>.md.

With ``--quick`` the tables are rough, and are printed only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path

import figures
import memory
import numerics
import portable
import replay
import scaling
import schedule
import sequences
import server
import startup
import training
from measuring import Section, machine, machine_name

_RESULTS = Path(__file__).parent / "results"
_ALL: dict[str, Callable[[bool], Section]] = {
    "training": training.measure,
    "portable": portable.measure,
    "numerics": numerics.measure,
    "scaling": scaling.measure,
    "startup": startup.measure,
    "schedule": schedule.measure,
    "replay": replay.measure,
    "figures": figures.measure,
    "sequences": sequences.measure,
    "server": server.measure,
    "memory": memory.measure,
}


def main() -> None:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *_ALL], metavar="name")
    parser.add_argument("--quick", action="store_true", help="rough figures, printed only")
    options = parser.parse_args()
    parts = [f"# Benchmarks\n\n{machine()}; {date.today().isoformat()}; `make bench`"]
    for name in options.names or _ALL:
        section = _ALL[name](options.quick).markdown()
        print(section, end="\n\n", flush=True)
        parts.append(section)
    if not options.quick and not options.names:
        _RESULTS.mkdir(exist_ok=True)
        path = _RESULTS / f"{machine_name()}.md"
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
