"""The command for each task: what to use instead if a model is given to another one."""

from __future__ import annotations

from rnn_cli.errors import TaskError

# For each task, what a model of it does and the command that uses it.
VERBS = {
    "language": ("writes text", "rnn sample"),
    "labelled": ("writes texts of a label", "rnn sample --label L"),
    "classify": ("classifies texts", "rnn classify"),
    "tag": ("tags", "rnn tag"),
    "translate": ("translates", "rnn translate"),
    "forecast": ("forecasts", "rnn forecast"),
}


def right_verb(error: TaskError) -> str:
    """Return a sentence that says which command a model is for."""
    if error.found not in VERBS:
        return f"{error}; install a newer rnn"
    does, command = VERBS[error.found]
    return f"this model {does}; use {command}"
