"""rnn train --mpi: rank 0 does what one process does, and the other ranks follow it.

Rank 0 reads the command line, stdin and the texts, chooses the values, writes the files and shows the progress. It
sends the others its run as a checkpoint, which they continue from the same texts. If it fails before that, it sends
them its exit code. From then on all ranks make the same steps (training/data_parallel.py).
"""

from __future__ import annotations

import os
import platform
import tempfile
from contextlib import suppress
from dataclasses import replace
from typing import IO

import typer

from rnn_cli.checkpoint.checkpoint import Checkpoint, load_checkpoint, to_bytes
from rnn_cli.cli.options import thread_count
from rnn_cli.cli.train.launcher import launched
from rnn_cli.cli.train.request import TrainRequest
from rnn_cli.cli.train.start import STARTING
from rnn_cli.cpu_count import processor_numbers, usable_cores
from rnn_cli.display.progress import TrainingDisplay
from rnn_cli.errors import CheckpointError, DivergenceError, RnnError, UsageError
from rnn_cli.signals import StopRequest, at_end
from rnn_cli.training.data_parallel import check_ranks
from rnn_cli.training.mpi import MpiRanks
from rnn_cli.training.trainer import Trainer

TEXT, RUN = -1, -2  # kinds of what rank 0 sends: a part of stdin, a checkpoint; or an exit code
CHUNK = 1 << 22  # bytes
SIGNALLED = 128  # of an exit code: the number of a signal is added


class Party(MpiRanks):
    """The ranks of a command, in the stages of its run.

    shared   rank 0 has sent the run
    over     no rank waits for another one any more, as none has a run, or the run has ended on all
    watched  whether a rank that hangs is noticed
    threads  this rank's share of the processors that it may run on
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.over = False, self.size == 1
        self.trainer: Trainer | None = None
        self.watched, self.sent_stdin = self.watch(complain_of), False
        self.threads = max(1, usable_cores() // self.sharing(processor_numbers()))

    def end(self, code: int) -> None:
        """Leave MPI with the exit code of this rank, and end the others if they would wait for it."""
        if not self.over and self.rank == 0 and not self.shared and code < SIGNALLED:
            self.broadcast(code)  # they wait for the run
        elif not (self.over or (self.trainer and (self.trainer.ended or self.trainer.diverged))):
            self.abort(code)
        self.leave()

    def completed(self, request: TrainRequest, display: TrainingDisplay, *, resume: bool) -> TrainRequest:
        """Return the request of a run of these ranks, with a group for each rank. Says what is chosen."""
        if self.size == 1:
            display.note("one rank: no launcher has started others, as mpiexec -n 2 rnn train --mpi does")
        elif not resume and "groups" not in request.values:
            display.note(f"groups            {self.size:<9,}one for each rank; with more, more ranks may continue it")
            request = replace(request, values={**request.values, "groups": self.size})
        if not self.watched:
            display.note("this MPI lets one thread communicate, so a rank that hangs is not noticed")
        return request

    def share_stdin(self, request: TrainRequest) -> None:
        """Send what stdin holds to the other ranks, if it is a text, and read it again here."""
        if self.size == 1 or "-" not in request.texts:
            return
        with tempfile.TemporaryFile() as copy:
            while chunk := os.read(0, CHUNK):
                copy.write(chunk)
                self.broadcast(TEXT, chunk)
            become_stdin(copy)
        self.sent_stdin = True

    def share(self, trainer: Trainer, request: TrainRequest) -> None:
        """Send a run that begins or continues here to the other ranks.

        Raises UsageError if it has fewer groups than ranks, or reads stdin without having been told to.
        """
        check_ranks(self, trainer.config)
        if self.size > 1 and "-" in request.texts and not self.sent_stdin:
            raise UsageError("the text of this run is stdin; give - once more, for all ranks to read it")
        if self.size > 1:
            checkpoint = trainer.checkpoint()
            checkpoint.source = request.to_source()
            self.shared = True
            self.broadcast(RUN, to_bytes(checkpoint))
            self.agree_that_ready(None)
        self.join(trainer)

    def join(self, trainer: Trainer) -> None:
        """Train with all ranks from now on."""
        self.trainer = trainer
        trainer.join(self)

    def agree_that_ready(self, problem: RnnError | None) -> None:
        """Raise the problem of the first rank that has one, on that rank. On all others, exit with its code."""
        codes = self.gather_values(problem.exit_code if problem else 0)[:, 0]
        if codes.any():
            self.over, first = True, int(codes.nonzero()[0][0])
            if problem is None or self.rank != first:
                raise typer.Exit(int(codes[first]))
            kind = {kind.exit_code: kind for kind in (RnnError, UsageError, CheckpointError)}[problem.exit_code]
            raise kind(f"rank {self.rank} on {platform.node()}: {problem}") from problem


def gather(mpi: bool) -> Party:
    """Return the ranks of this command.

    Raises UsageError if a launcher started several without `mpi`, or MPI does not know of them.
    """
    launch = launched()
    problem = None
    if not mpi:
        problem = f"a launcher started this command {launch.size} times, and each would write the same files; add --mpi"
    else:
        try:
            party = Party()
            if party.size >= launch.size:
                at_end.append(party.end)
                return party
            problem = (
                f"a launcher started {launch.size} processes, but MPI sees {party.size}: the launcher and the library "
                "are of different MPIs, or srun needs --mpi=pmix or --mpi=pmi2"
            )
        except UsageError as missing:
            problem = str(missing)
    if launch.rank:  # one process complains for all
        raise typer.Exit(UsageError.exit_code)
    raise UsageError(problem)


def complain_of(rank: int, seconds: float) -> None:
    """Say on stderr that a rank is lost."""
    sentence = (
        f"rnn: error: rank {rank} has not answered for {seconds:.0f} s, so all ranks end; "
        "continue from the last checkpoint with --resume\n"
    )
    with suppress(OSError):
        os.write(2, sentence.encode())


def follow(party: Party, threads: int | None, *, until_stopped: bool = False) -> None:
    """Do what rank 0 asks for, as another rank. With `until_stopped` a stop is the regular end."""
    checkpoint = received_run(party)
    problem = None
    try:
        request = TrainRequest.from_source(checkpoint.source)
        assert request is not None
        task = STARTING[checkpoint.task["name"]].reread(request, checkpoint)
        trainer = Trainer.resume(checkpoint, task, thread_count(threads, quiet=True) if threads else party.threads)
    except RnnError as error:
        problem = error
    party.agree_that_ready(problem)
    with StopRequest("") as signals:
        party.wish = lambda: signals.requested or 0
        party.join(trainer)
        try:
            for _ in trainer:
                pass
        except DivergenceError as error:
            raise typer.Exit(error.exit_code) from error
    if party.stopped and not until_stopped:
        raise typer.Exit(SIGNALLED + party.stopped)


def received_run(party: Party) -> Checkpoint:
    """Return the checkpoint that rank 0 sends, and read from now on the stdin that it has sent before."""
    with tempfile.TemporaryFile() as text, tempfile.NamedTemporaryFile() as run:
        while True:
            kind, content = party.broadcast(0)
            if kind == RUN:
                become_stdin(text)
                run.write(content)
                run.flush()
                return load_checkpoint(run.name)
            if kind != TEXT:
                party.over = True
                raise typer.Exit(kind)
            text.write(content)


def become_stdin(file: IO[bytes]) -> None:
    """Read stdin from the beginning of a file from now on."""
    file.flush()
    file.seek(0)
    os.dup2(file.fileno(), 0)
