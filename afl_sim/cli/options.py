"""Options of several commands, and the scenario settings that they set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ScenariosArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SCENARIO...",
        help="A scenario file, or the name of a built-in scenario; a file with that name has "
        "priority. Several are run as one study.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.PATH=VALUE", help="Replace a setting; can be given several times."
    ),
]
SeedOption = Annotated[int | None, typer.Option(help="Replace the scenario's seed.")]
WorkersOption = Annotated[
    str | None,
    typer.Option(metavar="N", help="Number of worker processes that train; auto: one per core."),
]
ExecutorOption = Annotated[str | None, typer.Option(help="inline, processes or ray.")]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A Ray cluster, as auto or host:port; default: a cluster on this machine.",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(help="cpu or cuda: the device for training; short for numerics.device."),
]
BitsOption = Annotated[
    str | None,
    typer.Option(help="auto, portable or native: the arithmetic; short for numerics.bits."),
]
CostOption = Annotated[
    bool,
    typer.Option(
        "--cost",
        help="Print how much work training is, and how long it takes on this machine; that is "
        "measured for some seconds.",
    ),
]
TensorboardOption = Annotated[
    bool,
    typer.Option(
        "--tensorboard", help="Also write evaluations for TensorBoard, in the run folder."
    ),
]
MlflowOption = Annotated[bool, typer.Option("--mlflow", help="Also log evaluations to MLflow.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAMES",
        help="Show only these settings or runs: names as in figures and tables, separated by "
        "commas; * stands for any characters.",
    ),
]
OrderOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAMES", help="Settings in the order in which they come first."),
]
RunsArgument = Annotated[list[Path], typer.Argument(help="Run or study folders.")]


def execution_settings(
    workers: str | None, executor: str | None, ray_address: str | None
) -> list[str]:
    """The executor chosen on the command line, as settings of the scenario."""
    if executor is None and ray_address is not None:
        executor = "ray"
    if executor == "ray" and ray_address is not None and workers in (None, "auto"):
        workers = "1024"  # as many as the cluster has processors
    if workers == "auto" or (workers is None and executor == "ray"):
        from afl_sim.machine import usable_processors

        workers = str(usable_processors())
    if executor is None and workers is not None and workers != "1":
        executor = "processes"
    settings = [] if executor is None else [f"execution.executor={executor}"]
    if workers is not None:
        settings.append(f"execution.workers={workers}")
    if ray_address is not None:
        settings.append(f"execution.ray_address={ray_address}")
    return settings


def numerics_settings(device: str | None, bits: str | None) -> list[str]:
    """The arithmetic chosen on the command line, as settings of the scenario."""
    chosen = {"device": device, "bits": bits}
    return [f"numerics.{key}={value}" for key, value in chosen.items() if value is not None]


def sink_settings(tensorboard: bool, mlflow: bool) -> list[str]:
    """The sinks of evaluations chosen on the command line, as settings of the scenario."""
    names = [name for name, on in (("tensorboard", tensorboard), ("mlflow", mlflow)) if on]
    return [f"execution.sinks=[{', '.join(names)}]"] if names else []
