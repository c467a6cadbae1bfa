"""Where a step of training spends its time, in the process that runs this or in the first of some ranks of MPI.

mpi_scaling.py starts it. Arguments: H,L,B,T, the threads, the groups, the steps. It prints a JSON object: for each
phase the median milliseconds of a step. Without groups, gradient and update are one call.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from common import ROOT

from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.data_parallel import Ranks
from rnn_cli.training.trainer import Trainer

CORPUS = ROOT / "corpora" / "dinosaurs.txt"
WHOLE, REST = "whole step", "Python between the phases"


def trainer_of(size: str, threads: int, groups: int, steps: int) -> Trainer:
    """Return a run without validation or dropout."""
    hidden, layers, rows, window = map(int, size.split(","))
    corpus = load_corpus([str(CORPUS)], as_bytes=False, line_mode=False, validation_fraction=0, random_seed=1)
    network = NetworkConfig.for_symbols(len(corpus.codec), hidden_size=hidden, num_layers=layers)
    config = TrainingConfig(
        batch_size=rows, sequence_length=window, steps=steps, evaluate_every=steps, groups=groups, random_seed=1
    )
    return Trainer(LanguageTask(corpus, network), config, threads)


class Phases:
    """The times of some calls, in milliseconds."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def add(self, name: str, owner: Any, method: str) -> None:
        """Measure a method of an object from now on."""
        call, times = getattr(owner, method), self.times.setdefault(name, [])

        def measured(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = call(*arguments)
            times.append(1000 * (time.perf_counter() - start))
            return result

        setattr(owner, method, measured)

    def medians(self) -> dict[str, float]:
        """Return the median of each phase, and what is left of the step. The first step compiles and is left out."""
        steps = [dict(zip(self.times, step)) for step in zip(*self.times.values())][1:]
        for step in steps:
            step[REST] = 2 * step[WHOLE] - sum(step.values())
        return {name: statistics.median(step[name] for step in steps) for name in steps[0]}


def main() -> None:
    """Train, and print the phases."""
    size, threads, groups, steps = sys.argv[1], *map(int, sys.argv[2:5])
    trainer, ranks = trainer_of(size, threads, groups, steps), Ranks()
    phases, window = Phases(), trainer.window
    phases.add(WHOLE, trainer, "_step")
    phases.add("batch", window, "load")
    if groups == 1:
        phases.add("gradient and update", window, "train")
    else:
        from rnn_cli.training.mpi import MpiRanks

        ranks = MpiRanks()
        trainer.join(ranks)
        phases.add("gradient", window.part, "gradient")
        phases.add("losses, wait for the slower rank", ranks, "agree")
        phases.add("sum of the gradients", ranks, "sum_of")
        phases.add("update", window.part, "update")
    for _ in trainer:
        pass
    if ranks.rank == 0:
        print(json.dumps(phases.medians()))
