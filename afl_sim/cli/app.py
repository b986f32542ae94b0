"""The ``afl-sim`` command: its entry point, and the exit codes of all commands."""

from __future__ import annotations

import codecs
import sys
from typing import Annotated, Any

import typer
import typer.core

from afl_sim import __version__
from afl_sim.cli.output import failed_output, say_errors, unwritable
from afl_sim.errors import AflSimError
from afl_sim.machine import compiled

# As help shows them: in the order in which they are needed.
_ORDER = (
    *("run", "resume", "validate", "design", "reproduce", "plot", "report", "compare", "diff"),
    *("calibrate", "import", "theory", "list", "schema"),
)


class _Interrupted(AflSimError):
    exit_code = 130


class _Commands(typer.core.TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        """Typer would end silently on Ctrl-C, with an exit code that depends on its version."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted("interrupted") from None


app = typer.Typer(
    name="afl-sim",
    cls=_Commands,
    help="Simulate asynchronous federated learning: virtual time, real training, reproducible "
    "results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point: errors are one message on stderr and an exit code, never a traceback."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # a path on the command line need not be text of any encoding
        codecs.register_error("afl_sim", unwritable)
        reconfigure(errors="afl_sim")
    if "" not in sys.path:
        sys.path.append("")  # `package.module:Class` may lie in the working directory
    try:
        try:
            app(prog_name=app.info.name)  # also where it was started as `python -m afl_sim`
        finally:
            sys.stdout.flush()
    except AflSimError as error:
        say_errors(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say_errors("interrupted")
        sys.exit(130)
    except OSError as error:
        sys.exit(failed_output(error))
    except MemoryError:
        say_errors("not enough memory")
        sys.exit(1)


def _version(asked: bool) -> None:
    if asked:
        print(f"afl-sim {__version__}{' (compiled)' if compiled() else ''}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
