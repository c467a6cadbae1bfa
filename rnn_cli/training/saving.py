"""A run of training as a checkpoint, and a trainer as a checkpoint left it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rnn_cli import __version__
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16, NUMBA_VERSION
from rnn_cli.network.members import joined
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.networks import MEMBER, members_of
from rnn_cli.training.run_state import Progress, RunState
from rnn_cli.training.task import Task

if TYPE_CHECKING:
    from rnn_cli.training.trainer import Trainer

GOOD = "good."  # before the names of tensors in the last good state, if that is not the current one


def checkpoint_of(trainer: Trainer) -> Checkpoint:
    """Return what to save: the best model so far, and unless the run is over, what resuming needs."""
    progress, task = trainer.progress, trainer.task
    record = task.record(trainer.config) | {
        "training": trainer.config.to_dict(),
        "steps": progress.step,
        "total_steps": progress.total_steps,
        "seconds": progress.seconds,
        "best_step": progress.best_step,
        "best_loss": progress.best_loss,
        "rollbacks": progress.rollbacks,
        "history": [task.report_to_dict(report) for report in trainer.history],
        "versions": versions(),
    }
    if progress.best_score is not None:
        record["best_score"] = progress.best_score
    own, members = trainer.best_tensors(), trainer.members
    config, parameters = trainer.model.config, own
    if members and config.members == 1:  # those that are trained, while others follow or if these diverged
        config, parameters = joined(config, members)
    checkpoint = Checkpoint(config, task.describe(), parameters, record)
    if trainer.finished or trainer.diverged:
        task.complete(checkpoint, trainer.team)
    else:
        checkpoint.progress = progress.to_dict()
        checkpoint.training = dict(RunState.of(trainer.window, progress).tensors)
        for number, member in enumerate([*members, own] if members else []):
            checkpoint.training |= {f"{MEMBER}{number}.{name}": tensor for name, tensor in member.items()}
        if trainer.good.progress.step != progress.step:
            checkpoint.progress["good"] = trainer.good.progress.to_dict()
            checkpoint.training |= {GOOD + name: tensor for name, tensor in trainer.good.tensors.items()}
    return checkpoint


def resumed(make: Callable[..., Trainer], checkpoint: Checkpoint, task: Task, threads: int) -> Trainer:
    """Return the trainer that `make` makes of a task, a configuration and threads, in the state of a checkpoint.

    Raises UsageError if the run is complete, or `task` has other data than it; CheckpointError if its state is damaged.
    """
    if checkpoint.progress is None:
        raise UsageError("the training of this model is complete; there is nothing to resume")
    several = any(name.startswith(MEMBER) for name in checkpoint.training)
    network = replace(checkpoint.config, members=1) if several else checkpoint.config
    task = task.resumed(replace(checkpoint, config=network))
    if checkpoint.record.get("training", {}).get("precision") == "bfloat16" and not HAS_BFLOAT16:
        raise UsageError("this run is in bfloat16, which this processor does not have; resume it on one that has")

    counts, tensors = dict(checkpoint.progress), dict(checkpoint.training)
    prefix, good_counts = (GOOD, counts.pop("good")) if "good" in counts else ("", counts)
    good = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        config = TrainingConfig.from_dict(checkpoint.record["training"])
        # Before anything of the sizes that the file claims is allocated.
        if good["state"].shape[-2:] != (config.batch_size, task.network.hidden_size):
            raise ValueError("the tensor state")
        trainer = make(task, config, threads)
        planned = trainer.progress.total_steps
        *known, best = members_of(tensors, network) if several else [checkpoint.parameters]
        trainer.members.extend(known)
        trainer.model.layout.from_torch(trainer.best_parameters, best)
        trainer.good = RunState(good, Progress.from_dict(good_counts))
        trainer.good.restore(trainer.window)  # which checks it
        trainer.progress = RunState(tensors, Progress.from_dict(counts)).restore(trainer.window)
        total, begun = trainer.progress.total_steps, trainer.progress.begun
        if trainer.finished or planned not in (None, total and total - begun) or begun > trainer.progress.step:
            raise ValueError("its number of steps")
        trainer.history = [task.report_from_dict(values) for values in checkpoint.record["history"]]
    except (KeyError, TypeError, ValueError, UsageError) as problem:
        raise CheckpointError(f"the state of the training in this model is damaged ({problem})") from problem
    return trainer


def versions() -> dict[str, str]:
    """Return the versions of the programs that the result depends on."""
    found = {"rnn": __version__, "numpy": np.__version__, "numba": NUMBA_VERSION}
    return found | {"python": platform.python_version()}
