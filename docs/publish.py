"""Keep digests of the built-in scenarios in scenarios/published.json.

python docs/publish.py NAME ...     run scenarios, but for what is finished, and keep their digests
python docs/publish.py --missing NAME ...   the same for those of their runs that are not published
python docs/publish.py FOLDER ...   keep those of a run or study of a built-in scenario
python docs/publish.py --check      exit with 1 if a digest is of a scenario that has changed since

`afl-sim run` ends with a line that compares its digests with these.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from themes import THEMES

from afl_sim.recording import Run, load_run, load_runs
from afl_sim.recording.digests import digests_of
from afl_sim.run.api import simulate
from afl_sim.run.validation import check_study
from afl_sim.scenario import Study, scenario_id
from afl_sim.scenario.bundled import find_scenario
from afl_sim.study.published import published_file

RUNS = Path("runs") / "published"
TIMING_ONLY = {theme.name for theme in THEMES if "--timing-only" in theme.options}


def published() -> dict[str, Any]:
    """What is kept: scenario -> date, processor and cases."""
    file = published_file()
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def processor() -> str:
    """The name of this machine's processor, with its family and model."""
    told: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    width = "AVX-512" if "avx512f" in told["flags"].split() else "AVX2"
    return (
        f"{told['model name']} (family {told['cpu family']}, model {told['model']}, with {width})"
    )


def entry(study: Study, runs: dict[str, Run], kept: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a scenario.

    Args:
        study: the scenario.
        runs: its runs, by label.
        kept: cases of which there is no run, and what is published of them.

    Raises:
        SystemExit: a run is not finished, or is of another scenario.
    """
    cases = {}
    for case in study.cases:
        if case.label in kept:
            cases[case.label] = kept[case.label]
            continue
        run = runs.get(case.label)
        found = None if run is None else digests_of(run.summary)
        if run is None or found is None:
            sys.exit(f"{study.name}: {case.label} is not finished")
        if run.manifest["scenario_id"] != scenario_id(case.scenario):
            sys.exit(f"{run.path} is of another scenario than {case.label} of {study.name}")
        cases[case.label] = {
            "scenario": scenario_id(case.scenario),
            "bits": None if found.model is None else found.bits,
            "schedule_digest": found.schedule,
            "model_digest": found.model,
        }
    date = datetime.now(UTC).date().isoformat()
    return {"date": date, "processor": processor(), "cases": cases}


def runs_of(name: str) -> list[Run]:
    """The runs of a built-in scenario; what is missing is run."""
    folder = RUNS / name
    options = ["--timing-only"] if name in TIMING_ONLY else []
    command = [sys.executable, "-m", "afl_sim", "run", name, "--out", str(folder), "--resume"]
    subprocess.run([*command, *options], check=True)
    return load_runs([folder])


def runs_missing(study: Study, name: str, unchanged: dict[str, Any]) -> dict[str, Run]:
    """The runs of a built-in scenario that are not published; those that are finished are there."""
    found = {}
    for case in study.cases:
        place = RUNS / name / case.label
        if case.label in unchanged:
            continue
        there = (place / "summary.json").is_file()
        found[case.label] = (
            load_run(place)
            if there
            else simulate(case.scenario, place, timing_only=name in TIMING_ONLY)
        )
    return found


def unchanged_of(study: Study, cases: dict[str, Any]) -> dict[str, Any]:
    """Of what is published of a scenario's cases, that of cases that the file still has."""
    ids = {case.label: scenario_id(case.scenario) for case in study.cases}
    return {label: case for label, case in cases.items() if case["scenario"] == ids.get(label)}


def keep(arguments: list[str], missing: bool) -> None:
    """Keep the digests of scenarios or of folders, and say what changed.

    Args:
        arguments: names, or folders.
        missing: whether to run only what is not published.
    """
    kept = published()
    for argument in arguments:
        folder = Path(argument) if Path(argument).is_dir() and not missing else None
        there = [] if folder is None else load_runs([folder])
        name = argument if folder is None else folder.name
        if len(there) == 1:
            name = str(there[0].scenario["name"])
        study = check_study(find_scenario(name))
        unchanged: dict[str, Any] = {}
        if missing:
            unchanged = unchanged_of(study, kept.get(name, {}).get("cases", {}))
            runs = runs_missing(study, name, unchanged)
        else:
            runs = {run.label: run for run in there or runs_of(name)}
        before, now = kept.get(name, {}).get("cases", {}), entry(study, runs, unchanged)
        kept[name] = now
        same = sum(before.get(label) == case for label, case in now["cases"].items())
        print(f"{name}: {len(now['cases'])} runs, {same} as before")
    text = json.dumps(dict(sorted(kept.items())), indent=1, ensure_ascii=False)
    published_file().write_text(text + "\n", encoding="utf-8")


def stale() -> list[str]:
    """The scenarios whose digests are of other cases than the file has now."""
    return [
        name
        for name, there in published().items()
        if {label: case["scenario"] for label, case in there["cases"].items()}
        != {
            case.label: scenario_id(case.scenario)
            for case in check_study(find_scenario(name)).cases
        }
    ]


def main(arguments: list[str]) -> int:
    """Keep digests, or check those that are kept."""
    if arguments == ["--check"]:
        for name in stale():
            print(f"{name} has changed: run python docs/publish.py {name}")
        return bool(stale())
    missing = arguments[:1] == ["--missing"]
    names = arguments[missing:]
    if not names or any(name.startswith("-") for name in names):
        print(__doc__)
        return 2
    keep(names, missing)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
