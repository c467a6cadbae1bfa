"""One to many: for each of its labels, a model of labels is a language model."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.language.scorer import Scorer
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import Window
from rnn_cli.tasks.labelled.model import given_label, language_model, prior_bits, read_description
from rnn_cli.tasks.labelled.task import LabelledTask
from rnn_cli.tasks.labelled_texts import LabelledTexts
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

TEXTS = ["aba", "abab", "cdc", "cdcd", "abc", "d"] * 6
LABELS = np.array([0, 0, 1, 1, 2, 2] * 6)
DATA = LabelledTexts("texts", "0", TEXTS, LABELS, ("ab", "cd", "other"), ("line 1",) * 3, fasttext=False, empty=0)
CONFIG = TrainingConfig(batch_size=3, sequence_length=16, learning_rate=0.02, steps=150, evaluate_every=50)


@pytest.fixture(scope="module")
def trained():
    task = LabelledTask(DATA)
    task.network = replace(task.network, hidden_size=16)
    trainer = Trainer(task, CONFIG, 1)
    list(trainer)
    return trainer.checkpoint()


def test_a_batch_reads_characters_and_labels():
    task = LabelledTask(DATA, DATA)
    config = replace(CONFIG, batch_size=50)
    batch = task.validation_batches(config).batch(0)
    assert batch.inputs.shape == (*batch.starts.shape, 2)
    size = len(task.codec)
    for t, row in np.argwhere(batch.targets >= 0).tolist():
        following = batch.inputs[t + 1, row, 0] if t + 1 < len(batch.starts) else 0
        assert batch.targets[t, row] == following
    scored = batch.targets >= 0
    texts = batch.inputs[..., 0] == task.codec.encode("d")[0]
    labels = batch.inputs[..., 1] - size
    assert set(np.unique(labels[scored])) <= {0, 1, 2}
    assert set(np.unique(labels[texts & scored])) == {1, 2}


@pytest.mark.parametrize("label, text", [("ab", "abab"), ("cd", "cdc"), ("other", "d")])
def test_folding_a_label_changes_nothing(trained, label, text):
    codec, labels, _ = read_description(trained)
    symbols = np.append(codec.encode(text), 0)
    window = Window(Model.from_torch(trained.config, trained.parameters), len(symbols), 1, Team(1), symbols=2)
    window.inputs[:, 0, 0] = np.append(0, symbols[:-1])
    window.inputs[:, 0, 1] = len(codec) + labels.index(label)
    window.starts[0], window.targets[:, 0] = 1, symbols
    window.pack()
    window.score()
    losses = Scorer(given_label(trained, label), 1).read(symbols)[0]
    np.testing.assert_allclose(losses, window.losses[:, 0], rtol=1e-4, atol=1e-5)


def test_the_label_is_learned(trained):
    bits = {label: Scorer(given_label(trained, label), 1).read(np.array([1, 2, 1, 0]))[0].sum() for label in DATA.names}
    assert min(bits, key=bits.get) == "ab"


def test_a_label_that_the_model_lacks_is_named(trained):
    with pytest.raises(UsageError, match="no label 'xy'; it has 'ab', 'cd', 'other'"):
        given_label(trained, "xy")
    with pytest.raises(UsageError, match="name one of its 3 with `label`"):
        language_model(trained, None)
    with pytest.raises(UsageError, match="trained without labels"):
        language_model(given_label(trained, "ab"), "ab")


def test_prior_bits_are_those_of_the_shares():
    np.testing.assert_allclose(prior_bits(np.array([1, 1, 2])), [2, 2, 1])


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": ["ab", "ab", "cd"]},
        {"labels": ["ab", "cd"]},
        {"labels": []},
        {"labels": ["ab", "cd", ""]},
        {"counts": [1, 2]},
        {"counts": [1, 2, -1]},
        {"counts": [1, 2, True]},
        {"codec": {"symbols": "ab", "lines": True}},
        {"extra": 1},
    ],
)
def test_a_damaged_description_is_refused(trained, damage):
    with pytest.raises(CheckpointError):
        read_description(Checkpoint(trained.config, {**trained.task, **damage}, trained.parameters))


def test_texts_of_unknown_labels_are_not_validated():
    other = replace(DATA, names=("ab", "cd", "strange"))
    assert len(LabelledTask(DATA, other).validation.texts) == 24
