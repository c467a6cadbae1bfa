"""The journal file of a study: JSON lines that many processes append to, also over a network file system.

A journal is untrusted: it is checked before Optuna reads it, and nothing in it is unpickled.
"""

from __future__ import annotations

import json
import os
import stat
import warnings
from typing import TYPE_CHECKING, Any

from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

STUDY = "rnn"  # the name of the study in the journal
LONGEST_LINE = 1 << 20  # bytes; those of a sweep have less than a thousand
NOT_A_STUDY = "is not the study of a sweep"


def optuna() -> Any:
    """Return the library, which then prints nothing. Raises UsageError if it is missing."""
    try:
        import optuna
    except ImportError as problem:
        raise UsageError("the library optuna is missing; install it with: pip install 'rnn-cli[sweep]'") from problem
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # of version 4
    return optuna


def open_study(path: str, *, create: bool) -> Study:
    """Return the study in a journal. With `create`, a missing one is created.

    Trials are compared by a value of which less is better. Raises UsageError if there is none, or the file is another
    one or damaged.
    """
    library = optuna()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if not os.path.exists(path) and not create:
        raise UsageError(f"there is no study {path}; begin it with a text and a number of `trials`")
    lock = JournalFileOpenLock(path)
    try:
        check(path)
        storage = JournalStorage(JournalFileBackend(path, lock_obj=lock))
        names = [study.study_name for study in storage.get_all_studies()]
        if names not in ([], [STUDY]) or not (names or create):
            raise UsageError(f"{path} {NOT_A_STUDY}; name another file with `study`")
        if not names:
            library.create_study(storage=storage, study_name=STUDY, load_if_exists=True)
        pruner = library.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2, n_min_trials=2)
        study: Study = library.load_study(storage=storage, study_name=STUDY, pruner=pruner)
        if study.directions != [library.study.StudyDirection.MINIMIZE]:
            raise TypeError("its direction")
        for trial in study.get_trials(deepcopy=False):
            check_trial(trial)
    except OSError as problem:
        raise UsageError(
            f"cannot use the study {path} ({problem.strerror}); name another file with `study`"
        ) from problem
    except UsageError:
        raise
    except Exception as problem:  # whatever Optuna raises for lines that fit no study
        raise UsageError(f"the study {path} is damaged ({type(problem).__name__}); name another file") from problem
    return study


def check_trial(trial: FrozenTrial) -> None:
    """Raise TypeError unless the parts of a trial have the types that Optuna relies on."""
    numbers = [*(trial.values or []), *trial.intermediate_values, *trial.intermediate_values.values()]
    if not isinstance(trial.user_attrs, dict) or not all(isinstance(number, int | float) for number in numbers):
        raise TypeError("a trial")


def check(path: str) -> None:
    """Raise UsageError unless each line of a file, if there is one, is an operation of a journal.

    A last line that a crash has cut off is removed.
    """
    if not os.path.exists(path):
        return
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UsageError(f"{path} {NOT_A_STUDY}, but a directory or a device; name another file with `study`")
    with open(path, "rb") as file:
        number, end = 0, 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if not line.endswith(b"\n") and number > 1 and len(line) < LONGEST_LINE:
                break
            try:
                operation = json.loads(line)
                known = isinstance(operation, dict) and isinstance(operation["op_code"], int)
            except (ValueError, KeyError, RecursionError):
                known = False
            if not known:
                raise UsageError(f"{path} {NOT_A_STUDY} (line {number:,}); name another file with `study`")
            end += len(line)
    if end < os.path.getsize(path):
        cut_off_rest(path)


def cut_off_rest(path: str) -> None:
    """Remove a last line without its end from a journal, while no other process writes."""
    from optuna.storages.journal import JournalFileOpenLock

    lock = JournalFileOpenLock(path)
    lock.acquire()
    try:
        with open(path, "rb+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - LONGEST_LINE))
            rest = file.read()
            file.truncate(end - len(rest) + rest.rfind(b"\n") + 1)
    finally:
        lock.release()
