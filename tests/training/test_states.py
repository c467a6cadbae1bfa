"""Whatever happens to a run in any order, loading gives the last state that was saved, and its bits are right."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fault_injection import failing, faulty_files
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rnn_cli.atomic_files import lock, sweep_stale
from rnn_cli.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, RnnError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

STEPS = 24
CONFIG = TrainingConfig(batch_size=2, sequence_length=4, steps=STEPS, evaluate_every=5, dropout=0.2, random_seed=1)


class Run(RuleBasedStateMachine):
    """A run of training and its file. A rule for another verb that writes models belongs beside `fine_tune`."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "model"
        self.trainer: Trainer | None = None
        self.durable: Any = None  # the content of the file, as it was last saved
        self.damaged = False

    @initialize()
    def start(self) -> None:
        """Begin a run on a small text."""
        (self.directory / "text").write_text("abracadabra, so they sat and sat\n" * 9)
        corpus = load_corpus(
            [str(self.directory / "text")], as_bytes=False, line_mode=False, validation_fraction=0.4, random_seed=1
        )
        self.task = LanguageTask(corpus, NetworkConfig.for_symbols(len(corpus.codec), hidden_size=4))
        self.trainer = Trainer(self.task, CONFIG, 1)

    @precondition(lambda self: self.trainer is not None)
    @rule(steps=st.integers(1, 7))
    def train(self, steps: int) -> None:
        """Go on by some steps."""
        assert self.trainer is not None
        target = self.trainer.progress.step + steps
        self.trainer.stop = lambda: self.trainer is not None and self.trainer.progress.step >= target
        for _ in self.trainer:
            pass

    @precondition(lambda self: self.durable is not None and not self.damaged)
    @rule(threads=st.integers(1, 3))
    def fine_tune(self, threads: int) -> None:
        """Begin another run from the file, which stays as it is: the same state of it gives the same bits."""
        trainer = Trainer(self.task, CONFIG, threads, start=load_checkpoint(self.path).parameters)
        trainer.stop = lambda: trainer.progress.step == 2
        for _ in trainer:
            pass
        save_checkpoint(self.directory / "tuned", trainer.checkpoint())
        tuned = content(load_checkpoint(self.directory / "tuned"))
        assert tuned == TUNED.setdefault(self.durable[0], tuned)

    @precondition(lambda self: self.trainer is not None and not self.damaged)
    @rule()
    def save(self) -> None:
        """Save."""
        assert self.trainer is not None
        checkpoint = self.trainer.checkpoint()
        save_checkpoint(self.path, checkpoint)
        self.durable = content(checkpoint)

    @precondition(lambda self: self.trainer is not None and not self.damaged)
    @rule(number=st.integers(1, 9), error=st.sampled_from([errno.ENOSPC, errno.EIO]))
    def fail_to_save(self, number: int, error: int) -> None:
        """Save, where one call of the system fails: the old state or the new one is there, never neither."""
        assert self.trainer is not None
        checkpoint = self.trainer.checkpoint()
        with faulty_files(number, failing(error)):
            try:
                save_checkpoint(self.path, checkpoint)
            except RnnError:
                there = content(load_checkpoint(self.path)) if self.path.exists() else None
                assert there in (self.durable, content(checkpoint))
                self.durable = there
            else:
                self.durable = content(checkpoint)

    @rule()
    def kill(self) -> None:
        """End the process: what was not saved is lost."""
        self.trainer = None

    @precondition(lambda self: self.trainer is None and not self.damaged)
    @rule(threads=st.integers(1, 3))
    def resume(self, threads: int) -> None:
        """Go on from the file, or begin again where there is none."""
        sweep_stale(self.path)
        if self.durable is None:
            self.trainer = Trainer(self.task, CONFIG, threads)
            return
        checkpoint = load_checkpoint(self.path)
        if checkpoint.progress is None:
            assert checkpoint.record["steps"] == STEPS
            return
        with lock(self.path):
            self.trainer = Trainer.resume(checkpoint, self.task, threads)
        assert content(self.trainer.checkpoint()) == self.durable

    @precondition(lambda self: self.durable is not None and not self.damaged)
    @rule()
    def sample(self) -> None:
        """Write a text with the file, which changes nothing."""
        (text,) = sample_texts(load_checkpoint(self.path), config=SamplingConfig(length=5))
        assert len(text.decode()) == 5

    @precondition(lambda self: self.durable is not None and not self.damaged)
    @rule(share=st.floats(0, 1, exclude_max=True))
    def damage(self, share: float) -> None:
        """Cut the file off somewhere, keeping a copy."""
        self.kept = self.path.read_bytes()
        self.path.write_bytes(self.kept[: int(share * len(self.kept))])
        self.damaged = True

    @precondition(lambda self: self.damaged)
    @rule()
    def repair(self) -> None:
        """Put the copy back."""
        self.path.write_bytes(self.kept)
        self.damaged = False

    @invariant()
    def loading_gives_the_last_durable_state(self) -> None:
        """Hold what is durable against the file, and against a run that nothing happened to."""
        if self.damaged:
            try:
                load_checkpoint(self.path)
            except CheckpointError:
                return
            raise AssertionError("a damaged file was accepted")
        if self.durable is None:
            assert not self.path.exists()
            return
        assert content(load_checkpoint(self.path)) == self.durable
        steps = self.durable[0]
        assert self.durable == undisturbed(self, steps)

    def teardown(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.directory)


def content(checkpoint: Checkpoint) -> tuple[int, dict[str, bytes], bool]:
    """Return what is the same in every run that comes to the same step."""
    tensors = {name: np.ascontiguousarray(tensor).tobytes() for name, tensor in checkpoint.tensors().items()}
    return checkpoint.record["steps"], tensors, checkpoint.progress is None


REFERENCE: dict[int, tuple[int, dict[str, bytes], bool]] = {}
TUNED: dict[int, tuple[int, dict[str, bytes], bool]] = {}  # by the step of the file that was begun from


def undisturbed(machine: Run, steps: int) -> tuple[int, dict[str, bytes], bool]:
    """Return the state after some steps of a run that nothing happened to."""
    if not REFERENCE:
        trainer = Trainer(machine.task, CONFIG, 1)
        for step in range(STEPS + 1):
            trainer.stop = lambda step=step: trainer.progress.step >= step
            for _ in trainer:
                pass
            REFERENCE[step] = content(trainer.checkpoint())
    return REFERENCE[steps]


Run.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestRun = Run.TestCase
