"""The errors of the package, each with the exit code that the command line promises for it.

A message names a parameter in backticks, alone or with a value: `max_copy`, `unknown="skip"`. The commands write these
as their options (cli/options.py).
"""


class RnnError(Exception):
    """A failure, explained in one sentence: what, where, and what to do. Exit code 1: it failed while running."""

    exit_code = 1


class UsageError(RnnError):
    """A wrong parameter, or input text that cannot be used. Exit code 2."""

    exit_code = 2


class CheckpointError(RnnError):
    """A checkpoint that is missing, damaged, hostile or of an unknown version. Exit code 3."""

    exit_code = 3


class DivergenceError(RnnError):
    """The training produced values that are not finite. Exit code 4."""

    exit_code = 4


class TaskError(UsageError):
    """A model that was trained for another task than the one that it is used for. Exit code 2."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(f"this model is for the task '{found}', and '{wanted}' is asked of it")
        self.found, self.wanted = found, wanted
