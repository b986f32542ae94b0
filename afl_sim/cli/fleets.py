"""The command that makes fleets of what others have measured: import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from afl_sim.cli.app import app
from afl_sim.cli.importing import importing
from afl_sim.errors import InputError

if TYPE_CHECKING:
    from afl_sim.importers.devices import Meaning
    from afl_sim.importers.imported import Imported

_CHOICES: Final = {
    "gaps": ("error", "zero", "hold"),
    "direction": ("auto", "download", "upload", "both"),
}
_OPTIONS: Final = {
    "mahimahi": ("direction",),
    "hsdpa": ("direction", "gaps"),
    "pensieve": ("direction",),
    "fcc": ("direction", "step"),
    "bandwidth": ("column", "direction"),
    "fedscale": ("factor", "clients"),
    "flash": ("require", "repeat", "clients"),
    "mobiperf": ("direction",),
    "availability": ("column", "repeat"),
    "devices": ("column", "factor"),
}
"""The kinds of files, and which options suit each."""
_NAMES: Final = {"factor": "training-factor"}


@app.command("import")
def import_fleet(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="What the files are. Bandwidth that changes in time: mahimahi, hsdpa, pensieve, "
            "fcc or bandwidth. Devices and availability: fedscale, flash, availability, mobiperf "
            "or devices.",
        ),
    ],
    files: Annotated[list[Path], typer.Argument(metavar="FILES...", help="The files to read.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The scenario to write, with its tables beside it, as fleet.yaml; or the table "
            "alone, as fleet.csv."
        ),
    ],
    direction: Annotated[
        str | None,
        typer.Option(
            help="Which of a client's links is measured: download, upload, both or auto, which "
            "goes by the suffixes .down and .up. Default: auto."
        ),
    ] = None,
    gaps: Annotated[
        str | None,
        typer.Option(
            help="What a time without a measurement is: error, zero (nothing passes) or hold (the "
            "bandwidth before it stays). Default: error."
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long each measurement lasts, in seconds or as text such as 5s. Default: "
            "until the next one.",
        ),
    ] = None,
    repeat: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="The time after which availability begins anew, such as 1d."
        ),
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What a phone must be to be available: some of charged, wifi, locked and "
            "screen_off, separated by commas. Default: charged,wifi,locked.",
        ),
    ] = None,
    training_factor: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="How much longer a training step takes than what was measured. Default: 3 for "
            "fedscale, whose times are of inference; 1 for devices.",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=NAME[:UNIT]",
            help="What a column means, such as seconds_per_sample=MobileNet:ms or client=user; "
            "can be given several times.",
        ),
    ] = None,
    clients: Annotated[
        int | None, typer.Option(help="Use only so many clients, the first ones. Default: all.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Make a fleet of published measurements: tables, and a scenario that can be run."""
    with importing():
        from afl_sim.importers.writing import write

    given: dict[str, Any] = {
        "direction": direction,
        "gaps": gaps,
        "step": None if step is None else _seconds("step", step),
        "repeat": None if repeat is None else _seconds("repeat", repeat),
        "require": None if require is None else [name.strip() for name in require.split(",")],
        "factor": training_factor,
        "column": column,
        "clients": clients,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    _check(kind, settings)
    imported = _importer(kind)(files, **settings)
    written = write(imported, out, force)
    for line in imported.report:
        print(line)
    for path in written:
        print(f"wrote {path}")


def _check(kind: str, settings: dict[str, Any]) -> None:
    """Refuse an unknown kind, and options that do not suit it or have no such value."""
    from afl_sim.scenario.wording import exact, hint, show

    if kind not in _OPTIONS:
        raise InputError(
            f"there is no kind {show(kind)} of files; expected one of {', '.join(_OPTIONS)}"
            f"{hint(kind, _OPTIONS)}"
        )
    for name, value in settings.items():
        option = f"--{_NAMES.get(name, name)}"
        if name not in _OPTIONS[kind]:
            others = ", ".join(each for each, names in _OPTIONS.items() if name in names)
            raise InputError(f"{option} does not suit {kind}; it is an option of {others}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InputError(
                f"{option}: got {show(value)}; expected one of {', '.join(_CHOICES[name])}"
                f"{hint(value, _CHOICES[name])}"
            )
        if name == "factor" and not 0 < value < 1e9:
            raise InputError(f"{option}: got {exact(value)}; expected a number above 0")
        if name == "clients" and value < 1:
            raise InputError(f"{option}: got {value}; expected at least 1")


def _seconds(name: str, text: str) -> float:
    """A duration above 0, as a number of seconds or as text with a unit."""
    from afl_sim.scenario.traces.tables.cells import is_number
    from afl_sim.scenario.units import DURATION, Unreadable
    from afl_sim.scenario.wording import show

    try:
        found = float(text) if is_number(text) else DURATION.read(text)
    except Unreadable as error:
        raise InputError(f"--{name}: {error}") from None
    if not 1e-6 <= found <= 9e12:
        raise InputError(f"--{name}: got {show(text)}; expected a duration above 0")
    return found


def _refuse_unit(meaning: Meaning) -> None:
    """The unit of a column of times can be in its name only."""
    if meaning.unit is not None:
        raise InputError(
            f"--column: {meaning.key}={meaning.name}: got the unit {meaning.unit!r}, which is not "
            f"read here; expected {meaning.key}=NAME, where the name of a column of times may say "
            "its unit, as start_ms does"
        )


def _importer(kind: str) -> Callable[..., Imported]:
    """The importer of a kind, whose settings are named as in `_OPTIONS`."""
    from afl_sim.importers import bandwidth_logs, devices, fedscale, flash, mahimahi
    from afl_sim.importers.availability import import_availability

    def tables(files: Sequence[Path], column: Sequence[str] = (), **more: Any) -> Imported:
        meanings = [devices.meaning(text) for text in column]
        return devices.import_devices(files, meanings, **more)

    def logs(files: Sequence[Path], column: Sequence[str] = (), **more: Any) -> Imported:
        names: dict[str, list[str]] = {}
        for each in map(devices.meaning, column):
            names.setdefault(each.key, []).append(each.name)
            _refuse_unit(each)
        return import_availability(files, names, **more)

    def rates(files: Sequence[Path], column: Sequence[str] = (), **more: Any) -> Imported:
        names: dict[str, list[str]] = {}
        for each in map(devices.meaning, column):
            names.setdefault(each.key, []).append(each.name)
            if each.key == "bandwidth" and each.unit is not None:
                more["unit"] = devices.size_of("upload_bandwidth", each.name, each.unit)
            else:
                _refuse_unit(each)
        return bandwidth_logs.import_bandwidth(files, names, **more)

    importers: dict[str, Callable[..., Imported]] = {
        "mahimahi": mahimahi.import_mahimahi,
        "hsdpa": bandwidth_logs.import_hsdpa,
        "pensieve": bandwidth_logs.import_pensieve,
        "fcc": bandwidth_logs.import_fcc,
        "bandwidth": rates,
        "fedscale": fedscale.import_fedscale,
        "flash": flash.import_flash,
        "mobiperf": devices.import_mobiperf,
        "availability": logs,
        "devices": tables,
    }
    return importers[kind]
