"""The state of a trained model stays bounded, and its loss does not rise, however long the text."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import CharacterCodec
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CHARACTERS = 100_000


@pytest.fixture(scope="module")
def text():
    """Return words in random order, whose letters depend on those before."""
    generator = np.random.default_rng(2)
    words = ["".join(generator.choice(list("abcdefgh"), generator.integers(2, 7))) for _ in range(30)]
    return " ".join(generator.choice(words, 30_000))


@pytest.fixture
def drift(monkeypatch):
    """Return the function of the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("state_drift").drift


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_state_and_loss_over_a_long_text(tmp_path, drift, text, name):
    (tmp_path / "text.txt").write_text(text[:20_000])
    corpus = load_corpus(
        [str(tmp_path / "text.txt")], as_bytes=False, line_mode=False, validation_fraction=0.0, random_seed=1
    )
    model = NetworkConfig.for_symbols(len(corpus.codec), cell=name, hidden_size=32)
    config = TrainingConfig(
        steps=600, batch_size=8, sequence_length=32, learning_rate=0.01, reset_chance=0.02, evaluate_every=600
    )
    trainer = Trainer(LanguageTask(corpus, model), config, 1)
    list(trainer)
    symbols = corpus.codec.encode(text)[: CHARACTERS + 1]
    parts = drift(trainer.checkpoint(), symbols)
    assert parts[-1].end == CHARACTERS
    losses = [part.loss for part in parts]
    assert losses[0] < 1.2  # guessing costs 2.2: the model has learned something that it could forget
    assert max(losses) < losses[0] + 0.1
    assert max(largest for part in parts for largest in part.largest) < 40


def test_an_unbounded_state_is_detected(drift):
    model = Model(NetworkConfig.for_symbols(3, hidden_size=4))
    model.layout.bias(model.parameters, 0)[:] = 20  # the cell forgets nothing and adds 1 at each step
    checkpoint = Checkpoint.of_language(model.config, CharacterCodec("ab", False), model.to_torch())
    parts = drift(checkpoint, np.ones(1001, np.int32), parts=2)
    assert [part.end for part in parts] == [500, 1000]
    assert [part.largest for part in parts] == [pytest.approx([1, 500]), pytest.approx([1, 1000])]
    assert [part.loss for part in parts] == pytest.approx([np.log(3)] * 2)
