"""Any task trains: the trainer knows no text, and a task says what it needs."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rnn_cli.training
from rnn_cli.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, TaskError, UsageError
from rnn_cli.language.sampling import sample_texts
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.workspace import Batch, Window, count_scored
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Judgement
from rnn_cli.training.task import Task
from rnn_cli.training.trainer import Trainer

LENGTH, ROWS, SYMBOLS, LABELS = 6, 5, 4, 3
CONFIG = TrainingConfig(batch_size=8, sequence_length=9, learning_rate=0.02, steps=60, evaluate_every=20, random_seed=1)


class RandomTexts:
    """Batches of whole texts, smaller than the training's; the label of each is its first symbol, at its end."""

    batch_size, steps_per_epoch, units_per_epoch = ROWS, 4, 4 * ROWS

    def __init__(self, seed):
        self.seed, self.asked = seed, []

    def batch(self, step):
        self.asked.append(step)
        inputs = np.random.default_rng([self.seed, step]).integers(1, SYMBOLS, (LENGTH, ROWS), np.int32)
        starts, targets = np.zeros((LENGTH, ROWS), np.uint8), np.full((LENGTH, ROWS), -1, np.int32)
        inputs[0], starts[0] = 0, 1
        targets[-1] = inputs[1] - 1
        return Batch(inputs, starts, targets)


class FirstSymbol(Task):
    """Say at the end of a text with which symbol it began."""

    name, unit, blind_loss = "first", "label", math.log(LABELS)

    def __init__(self, scores=(), directions=1):
        sizes = {"input_size": SYMBOLS, "output_size": LABELS, "hidden_size": 12}
        self.network = NetworkConfig(**sizes, directions=directions)
        self.scores, self.scored = list(scores), 0

    def batches(self, config):
        return RandomTexts(config.random_seed)

    def validation_batches(self, config):
        return RandomTexts(99)

    def describe(self):
        return {"name": self.name, "labels": list("abc")}

    def record(self, config):
        return {"texts": 4 * ROWS}

    def score(self, model, team):
        self.scored += 1
        return self.scores.pop(0) if self.scores else None


def train_until(trainer, step=None):
    trainer.stop = lambda: step is not None and trainer.progress.step >= step
    return list(trainer)


@pytest.mark.parametrize("directions", [1, 2])
def test_a_task_of_whole_texts_is_learned(directions):
    trainer = Trainer(FirstSymbol(directions=directions), replace(CONFIG, steps=300), 2)
    assert trainer.batches.asked == []
    reports = train_until(trainer)
    assert trainer.batches.asked == list(range(300))
    assert set(trainer.validation.asked) == {0, 1, 2, 3}
    assert reports[-1].validation_loss < 0.1 < reports[0].loss
    assert reports[-1].epoch == 75


def test_unfilled_positions_are_padding():
    trainer = Trainer(FirstSymbol(), CONFIG, 1)
    train_until(trainer, 1)
    window = trainer.window
    assert window.starts.shape == (9, 8)
    assert window.starts[LENGTH:].all()
    assert window.starts[:, ROWS:].all()
    assert not window.starts[1:LENGTH, :ROWS].any()
    assert count_scored(window.targets) == ROWS


def test_no_state_is_carried_from_text_to_text(monkeypatch):
    carried = []

    def seen(run):
        def call(window, *arguments):
            carried.append(bool(window.state.any()))
            return run(window, *arguments)

        return call

    trainer = Trainer(FirstSymbol(), CONFIG, 1)
    monkeypatch.setattr(Window, "score", seen(Window.score))
    monkeypatch.setattr(type(trainer.window), "train", seen(type(trainer.window).train))
    train_until(trainer)
    assert len(carried) == 60 + 3 * 4
    assert not any(carried)


@pytest.mark.parametrize("directions", [1, 2])
def test_a_stopped_run_of_another_task_resumes(tmp_path, directions):
    task = FirstSymbol(directions=directions)
    whole, part = (Trainer(task, CONFIG, 1) for _ in range(2))
    train_until(whole)
    train_until(part, 33)
    save_checkpoint(tmp_path / "model", part.checkpoint())
    checkpoint = load_checkpoint(tmp_path / "model")
    assert checkpoint.task == {"name": "first", "labels": ["a", "b", "c"]}
    assert checkpoint.record["texts"] == 20
    resumed = Trainer.resume(checkpoint, task, 2)
    train_until(resumed)
    assert [report.step for report in resumed.history] == [20, 40, 60]
    assert np.array_equal(resumed.best_parameters, whole.best_parameters)


def test_another_task_does_not_resume():
    trainer, other = Trainer(FirstSymbol(), CONFIG, 1), FirstSymbol()
    train_until(trainer, 3)
    other.describe = lambda: {"name": "first", "labels": list("abd")}
    with pytest.raises(UsageError, match="the data are not those"):
        Trainer.resume(trainer.checkpoint(), other, 1)
    other.name = "second"
    with pytest.raises(TaskError, match="for the task 'first'"):
        Trainer.resume(trainer.checkpoint(), other, 1)


def test_a_score_chooses_the_best_model():
    trainer = Trainer(FirstSymbol(scores=[0.5, 0.75, 0.25]), CONFIG, 1)
    reports = [report for report in train_until(trainer) if report.validation_loss is not None]
    assert [report.validation_score for report in reports] == [0.5, 0.75, 0.25]
    assert (trainer.progress.best_step, trainer.progress.best_score) == (40, 0.75)
    assert trainer.progress.best_loss == reports[1].validation_loss > reports[2].validation_loss
    assert trainer.checkpoint().record["best_score"] == 0.75


def test_the_average_is_scored_too():
    task = FirstSymbol(scores=[0.5, 0.25, 0.75, 0.5, 0.25])
    trainer = Trainer(task, replace(CONFIG, average=0.4), 1)
    train_until(trainer)
    assert task.scored == 1 + 2 * 2  # the last 24 steps are averaged, and two evaluations are among them
    assert trainer.progress.best_score == 0.75


@pytest.mark.parametrize(
    "better, worse",
    [
        ((1.0, None), None),
        ((1.0, None), (2.0, None)),
        ((2.0, 0.5), (1.0, 0.25)),
        ((1.0, 0.5), (2.0, 0.5)),
    ],
)
def test_judgements_are_ordered(better, worse):
    better, worse = Judgement(*better), worse and Judgement(*worse)
    assert better.beats(worse)
    assert worse is None or not worse.beats(better)
    assert not better._replace(loss=math.nan).beats(better)


def test_a_task_must_say_what_is_needed():
    class Silent(Task):
        pass

    with pytest.raises(TypeError, match=r"batches.*describe"):
        Silent()


def test_a_model_of_another_task_writes_no_text():
    trainer = Trainer(FirstSymbol(), CONFIG, 1)
    with pytest.raises(TaskError, match="for the task 'first', and 'language' is asked of it"):
        sample_texts(trainer.checkpoint())
    with pytest.raises(UsageError):
        trainer.checkpoint().expect("tag")


def test_floats_are_scored_unless_they_are_nan():
    targets = np.zeros((4, 3, 2), np.float32)
    targets[1, 1] = targets[2, 2, 0] = np.nan
    assert count_scored(targets) == 11


def test_training_knows_no_text():
    for path in Path(rnn_cli.training.__file__).parent.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "from rnn_cli.text" not in source
        assert "from rnn_cli.language" not in source


def test_a_description_is_checked_as_the_rest(tmp_path):
    checkpoint = Trainer(FirstSymbol(), CONFIG, 1).checkpoint()
    assert isinstance(checkpoint, Checkpoint)
    deep = []
    for _ in range(50):
        deep = [deep]
    checkpoint.task["labels"] = deep
    with pytest.raises(Exception, match="nested too deeply"):
        save_checkpoint(tmp_path / "model", checkpoint)
    assert CheckpointError.exit_code == 3
