"""Commands that print reference information: calibrate, theory, list, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from afl_sim.cli.app import app
from afl_sim.cli.importing import importing


@app.command()
def calibrate(
    out: Annotated[Path, typer.Option(help="The CSV file to which the trace is written.")],
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Model kinds, blocks such as '{kind: torchvision, name: resnet18}', or "
            "package.module:factory. Default: the model of the scenario."
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            help="A scenario file or a built-in name. The samples are like those of its data; "
            "the loss and all settings of local training are its own."
        ),
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="The data set whose sample shape is used.")
    ] = "mnist",
    batch_size: Annotated[
        int | None,
        typer.Option(help="Samples in a local step. Default: as in the scenario, or 32."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Number of measurements; their median is used.")] = 9,
) -> None:
    """Measure this machine's seconds per sample with one thread, and write a device trace."""
    with importing():
        from afl_sim.recording.files import write_text
        from afl_sim.run.calibration import calibrate as measure
        from afl_sim.run.calibration import model_in, trace_of
        from afl_sim.run.loading import read_study
        from afl_sim.scenario.bundled import find_scenario

    given = None if scenario is None else read_study(find_scenario(scenario)).cases[0].scenario
    chosen = [model_in(text) for text in models] if models else [None]
    found = []
    for model in chosen:
        found.append(measure(model, dataset, batch_size, repeats, given))
        row = found[-1]
        print(
            f"{row.model}: {row.seconds_per_sample:.6g} s a sample (median of {row.repeats}, "
            f"{row.fastest:.6g} to {row.slowest:.6g})",
            flush=True,
        )
    write_text(out, trace_of(found))
    print(f"trace: {out}")


@app.command()
def theory(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names of comparisons, or the first parts of names; default all."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the table as Markdown.")] = None,
) -> None:
    """Compare the simulator with exact results, by fresh runs; exit code 1 if one disagrees."""
    with importing():
        from afl_sim.recording.files import write_text
        from afl_sim.theory.oracles import chosen
        from afl_sim.theory.report import closing, measure, page

    rows = []
    for oracle in chosen(names or []):
        rows.append(measure(oracle))
        print(rows[-1].line(), flush=True)
    print(f"\n{closing(rows)}")
    if out is not None:
        write_text(out, page(rows))
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


@app.command("list")
def list_kinds(
    what: Annotated[
        str,
        typer.Argument(
            help="strategies, models, datasets, partitions, distributions, selections, "
            "staleness-weights, controllers, attacks, compressors, losses, metrics, power, "
            "networks, figures, papers or scenarios."
        ),
    ],
) -> None:
    """List the names that a scenario can use, one per line."""
    with importing():
        from afl_sim.cli.listing import listing

        rows = list(listing(what))  # each list imports what it shows
    width = max((len(name) for name, _ in rows), default=0)
    for name, line in rows:
        print(f"{name:<{width}} {line}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    import json

    with importing():
        from afl_sim.run.kinds import catalogue
        from afl_sim.scenario import json_schema

    print(json.dumps(json_schema(catalogue()), indent=2))
