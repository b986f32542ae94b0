"""Exceptions of the package.

Each takes exactly one string. SimPy re-raises a failed process's exception as ``type(e)(*e.args)``,
so a constructor with any other signature would turn into an unrelated ``TypeError``.
"""


class AflSimError(Exception):
    """Something went wrong that the user should read; ``exit_code`` is the command's status."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)


class InputError(AflSimError):
    """The user's input is wrong; nothing was run and nothing was written."""

    exit_code = 2


class ScenarioError(InputError):
    """A scenario cannot be run as written. One line of the message per mistake."""


class SettingsError(ScenarioError, ValueError):
    """A block of a scenario that was made in Python has wrong settings.

    It is a ValueError, so that a block may be made while another one is validated.
    """


class DataError(InputError):
    """A data set is missing or damaged."""


class RunFolderError(InputError):
    """A run folder is missing, incomplete, damaged or in the way."""


class ScheduleError(AflSimError):
    """A strategy's schedule asked for something impossible, or came to rest before a stop rule."""


class StrategyError(AflSimError):
    """A strategy's own code raised an exception, or gave back something that cannot be used."""


class OwnRuleError(AflSimError):
    """A rule of the user's own raised an exception, or gave back something that cannot be used."""


class TaskError(AflSimError):
    """A client's training or an evaluation raised an exception, or ran out of memory."""


class DivergedError(AflSimError):
    """Training produced a loss or a parameter that is not finite."""


class NotPortable(AflSimError):
    """An operation whose bits may depend on the processor; the message begins with its name."""
