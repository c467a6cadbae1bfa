"""Fine-tuning: what a model knows stays where it is, new symbols come behind, and it beats starting afresh."""

from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, run

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.fine_tuning import reencode
from rnn_cli.language.task import LanguageTask
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import ByteCodec, CharacterCodec
from rnn_cli.text.corpus import load_corpus
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.fine_tuning import initialise_from
from rnn_cli.training.trainer import Trainer

DINOSAURS = (Path(__file__).parents[2] / "corpora" / "dinosaurs.txt").read_text("utf-8").splitlines()


@pytest.fixture
def place(tmp_path):
    """Return a directory with names, and a few others of their kind with a letter that the names have not."""
    (tmp_path / "many.txt").write_text("\n".join(DINOSAURS[::2]))
    (tmp_path / "few.txt").write_text("\n".join(name + "\u00e9" for name in DINOSAURS[1:160:4]))
    (tmp_path / "held_out.txt").write_text("\n".join(name + "\u00e9" for name in DINOSAURS[3::4]))
    return tmp_path


def corpus_of(place, name):
    return load_corpus(
        [str(place / name)],
        as_bytes=False,
        line_mode=True,
        validation_fraction=0.0,
        validation_files=[str(place / "held_out.txt")],
        random_seed=1,
    )


def trained(corpus, steps, rate, **others):
    config = TrainingConfig(steps=steps, learning_rate=rate, batch_size=8, sequence_length=16, evaluate_every=25)
    model = NetworkConfig.for_symbols(len(corpus.codec), hidden_size=32)
    trainer = Trainer(LanguageTask(corpus, model), config, 1, **others)
    for _ in trainer:
        pass
    return trainer


def test_fine_tuning_beats_training_from_scratch(place):
    base = trained(corpus_of(place, "many.txt"), 600, 0.01).checkpoint()
    few = corpus_of(place, "few.txt")
    afresh = min(trained(few, 150, rate).progress.best_loss for rate in (0.005, 0.01, 0.02))
    few = reencode(few, base.codec.extended_with(few.codec))
    tuned = trained(few, 150, 0.005, start=base.parameters).progress.best_loss
    assert tuned < afresh - 0.05


def test_known_symbols_keep_their_weights_and_ids(place):
    base = trained(corpus_of(place, "many.txt"), 3, 0.01).checkpoint()
    few = corpus_of(place, "few.txt")
    text = few.codec.decode(few.training)
    corpus = reencode(few, base.codec.extended_with(few.codec))
    assert corpus.codec.symbols == base.codec.symbols + "\u00e9"
    assert corpus.codec.decode(corpus.training) == text
    assert corpus.codec.decode(corpus.validation) == few.codec.decode(few.validation)
    model = Model.initialised(NetworkConfig.for_symbols(len(corpus.codec), hidden_size=32), np.random.default_rng(1))
    drawn = model.to_torch()
    initialise_from(model, base.parameters)
    tensors = model.to_torch()
    for name, tensor in base.parameters.items():
        known = tuple(slice(size) for size in tensor.shape)
        assert np.array_equal(tensors[name][known], tensor)
    assert np.array_equal(tensors["rnn.weight_ih_l0"][:, -1], drawn["rnn.weight_ih_l0"][:, -1])
    assert np.array_equal(tensors["decoder.weight"][-1], drawn["decoder.weight"][-1])
    assert tensors["decoder.bias"][-1] == base.parameters["decoder.bias"].min()


def test_a_vocabulary_that_does_not_fit_is_refused(place):
    corpus = corpus_of(place, "few.txt")
    for other in (CharacterCodec("abc", True), ByteCodec(True), CharacterCodec(corpus.codec.symbols, False)):
        with pytest.raises(UsageError):
            reencode(corpus, other)


def test_a_fine_tuned_run_resumes(place):
    base = trained(corpus_of(place, "many.txt"), 3, 0.01).checkpoint()
    few = corpus_of(place, "few.txt")
    grown = reencode(few, base.codec.extended_with(few.codec))
    whole = trained(grown, 40, 0.01, start=base.parameters)
    config, path = whole.config, place / "model"
    part = Trainer(whole.task, config, 1, start=base.parameters)
    part.stop = lambda: part.progress.step == 15
    list(part)
    save_checkpoint(path, part.checkpoint())
    again = Trainer.resume(load_checkpoint(path), LanguageTask(few), 2)
    list(again)
    assert np.array_equal(again.best_parameters, whole.best_parameters)
    assert again.task.corpus.codec == grown.codec


# The command


@pytest.fixture
def base(place):
    """Return the directory, with a model of the names."""
    done = run("train", "many.txt", *SMALL, "--layers", 2, "--steps", 5, "-m", "base", cwd=place)
    assert done.code == 0, done.stderr
    return place


def test_from_a_model(base):
    done = run("train", "few.txt", "--from", "base", "-m", "new", "--steps", 5, "--random-seed", 1, cwd=base)
    assert (done.code, done.stdout) == (0, b""), done.stderr
    assert "starting from base" in done.stderr
    assert "1 are new" in done.stderr
    assert "gentle" in done.stderr
    old, new = load_checkpoint(base / "base"), load_checkpoint(base / "new")
    assert new.codec.symbols == old.codec.symbols + "\u00e9"
    assert (new.config.hidden_size, new.config.num_layers) == (8, 2)
    sampled = run("sample", "-m", "new", "--seed", "\u00e9", "-l", 5, "--random-seed", 1, cwd=base)
    assert sampled.code == 0, sampled.stderr


def test_fine_tuned_model_may_replace_its_base(base):
    refused = run("train", "few.txt", "--from", "base", "-m", "base", "--steps", 5, cwd=base)
    assert refused.code == 2
    assert run("train", "few.txt", "--from", "base", "-m", "base", "--steps", 5, "--overwrite", cwd=base).code == 0
    assert "\u00e9" in load_checkpoint(base / "base").codec.symbols


@pytest.mark.parametrize(
    "option",
    ["--cell gru", "--hidden-size 9", "--layers 1", "--cell rnn --activation relu", "--stream", "--bytes", "--resume"],
)
def test_options_that_contradict_the_model_are_refused(base, option):
    done = run("train", "few.txt", "--from", "base", "-m", "new", "--steps", 5, *option.split(), cwd=base)
    assert (done.code, done.stdout) == (2, b"")
    assert option.split()[0] in done.stderr or "--from" in done.stderr
    assert not (base / "new").exists()


def test_options_that_agree_with_the_model_are_accepted(base):
    same = ["--cell", "lstm", "--hidden-size", 8, "--layers", 2, "--lines"]
    assert run("train", "few.txt", "--from", "base", "-m", "new", "--steps", 5, *same, cwd=base).code == 0


def test_from_nothing_and_from_a_damaged_file(base):
    (base / "damaged").write_bytes(b"no model")
    for name in ("nothing", "damaged"):
        assert run("train", "few.txt", "--from", name, "-m", "new", "--steps", 5, cwd=base).code == 3


def test_model_of_bytes_is_fine_tuned_on_bytes(base):
    run("train", "many.txt", *SMALL, "--bytes", "--steps", 3, "-m", "bytes", cwd=base)
    done = run("train", "few.txt", "--from", "bytes", "-m", "new", "--steps", 3, cwd=base)
    assert done.code == 0, done.stderr
    assert load_checkpoint(base / "new").codec == ByteCodec(True)
