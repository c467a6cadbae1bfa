"""Taggers learn, answer the same for any threads and company, resume, and are checked when they are loaded."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tagged_corpora import journeys, sentences

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, TaskError, UsageError
from rnn_cli.network.config import NetworkConfig
from rnn_cli.tasks.tag.alphabet import Alphabet, answer_positions, pieces_of, texts_of
from rnn_cli.tasks.tag.autoconfig import choose
from rnn_cli.tasks.tag.bio import allowed_after
from rnn_cli.tasks.tag.evaluation import evaluate_sentences
from rnn_cli.tasks.tag.tagger import Tagger, lexicon_of
from rnn_cli.tasks.tag.task import TagTask
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

CONFIG = TrainingConfig(
    batch_size=4, sequence_length=64, learning_rate=0.01, dropout=0.2, epochs=8, evaluate_every=20, random_seed=1
)


def trainer_of(training, validation=(), threads=1, config=CONFIG, **sizes):
    task = TagTask("the corpus", training, validation)
    network = replace(task.network, hidden_size=24, **sizes)
    return Trainer(TagTask("the corpus", training, validation, network), config, threads)


@pytest.fixture(scope="module")
def words():
    """A trained tagger of words."""
    trainer = trainer_of(sentences(150), sentences(30, seed=2), config=replace(CONFIG, epochs=24))
    return list(trainer), trainer


@pytest.fixture(scope="module")
def spans():
    """A trained tagger of spans, stopped too early to be always right."""
    trainer = trainer_of(journeys(60), journeys(20, seed=2), config=replace(CONFIG, epochs=2))
    return list(trainer), trainer


def test_tags_are_learned_from_ending_and_context(words):
    reports, trainer = words
    scores = evaluate_sentences(trainer.checkpoint(), sentences(100, seed=3), 2)
    assert scores["accuracy"] > 0.98
    assert scores["baseline"]["accuracy"] < 0.9
    assert scores["unknown"]["tokens"] > 20
    assert scores["unknown"]["accuracy"] > 0.95
    assert scores["tokens"] == sum(entry["tokens"] for entry in scores["per_tag"].values())
    assert reports[-1].validation_score > 0.98
    assert trainer.checkpoint().record["best_score"] == trainer.progress.best_score


def test_the_closing_line_has_the_baseline(words):
    _, trainer = words
    line = trainer.task.figures(0.1, 0.987)
    assert line.startswith("98.7% of the tags right; the most frequent tag of each token would be ")
    assert line.endswith("%; 0.144 bits per token")
    assert trainer.task.figures(0.1, None) == "0.144 bits per token"


def test_spans_are_valid_and_improve(spans):
    reports, trainer = spans
    scores = evaluate_sentences(trainer.checkpoint(), journeys(50, seed=3), 1)
    assert scores["spans"]["f1"] > scores["baseline"]["spans"]["f1"]
    assert "F1 of the spans 50.0%; of the most" in trainer.task.figures(0.1, 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_tags_of_any_text_are_valid(spans, seed):
    """Also of texts unlike those that were trained on, for an untrained model."""
    generator = np.random.default_rng(seed)
    checkpoint = spans[1].checkpoint()
    if seed % 2:
        checkpoint.parameters = {
            name: generator.normal(size=tensor.shape).astype(np.float32)
            for name, tensor in checkpoint.parameters.items()
        }
    tagger = Tagger.of_checkpoint(checkpoint, 1)
    allowed = allowed_after(tagger.tags)
    texts = [["".join(generator.choice(list("abgot?"), 3)) for _ in range(9)] for _ in range(20)]
    for tags in tagger.tag(texts):
        numbers = [len(tagger.tags), *map(tagger.tags.index, tags)]
        assert all(allowed[before, after] for before, after in pairwise(numbers))


@pytest.mark.parametrize("threads", [1, 3])
def test_tags_do_not_depend_on_threads_or_company(words, threads):
    checkpoint = words[1].checkpoint()
    texts = [sentence.tokens for sentence in sentences(40, seed=4)] + [(), ("\u2603",), ("lo",) * 2000]
    together = Tagger.of_checkpoint(checkpoint, 1).probabilities(texts)
    tagger = Tagger.of_checkpoint(checkpoint, threads)
    for text, expected in zip(texts, together):
        (alone,) = tagger.probabilities([text])
        assert alone.shape == (len(text), len(tagger.tags))
        assert np.array_equal(alone, expected)
    assert tagger.probabilities([]) == []


@pytest.mark.parametrize("step", [7, 33])
def test_a_stopped_run_resumes_with_the_same_bits(tmp_path, step):
    runs = [trainer_of(sentences(60), sentences(20, seed=2), threads) for threads in (1, 2)]
    runs[1].stop = lambda: runs[1].progress.step >= step
    for run in runs:
        list(run)
    save_checkpoint(tmp_path / "model", runs[1].checkpoint())
    checkpoint = load_checkpoint(tmp_path / "model")
    task = TagTask("the corpus", sentences(60), sentences(20, seed=2))
    resumed = Trainer.resume(checkpoint, task, 1)
    list(resumed)
    assert np.array_equal(resumed.best_parameters, runs[0].best_parameters)
    with pytest.raises(UsageError, match="is not what this model was trained on"):
        Trainer.resume(checkpoint, TagTask("other", sentences(61)), 1)


def test_the_file_describes_the_task(words, tmp_path):
    checkpoint = words[1].checkpoint()
    save_checkpoint(tmp_path / "model", checkpoint)
    task = load_checkpoint(tmp_path / "model").task
    assert task["name"] == "tag"
    assert sorted(task["tags"]) == ["ADJ", "DET", "NOUN", "PRON", "PUNCT", "VERB"]
    assert " " in task["codec"]["symbols"]
    assert lexicon_of(checkpoint)["lo"] in ("DET", "PRON")
    with pytest.raises(TaskError, match="for the task 'tag'"):
        checkpoint.codec  # noqa: B018


@pytest.mark.parametrize(
    "damage",
    [
        {"tags": ["A"]},
        {"tags": ["A", "A"]},
        {"tags": ["A", 3]},
        {"tags": ["A", "B\n"]},
        {"tags": ["A", "B"]},
        {"codec": {"symbols": "ab", "lines": False}},
        {"codec": {"symbols": None, "lines": False}},
        {"lexicon": {"Q": "a"}},
        {"lexicon": []},
        {"column": "head"},
        {"more": 1},
    ],
)
def test_a_damaged_description_is_refused(words, damage):
    checkpoint = words[1].checkpoint()
    checkpoint.task = {**checkpoint.task, **damage}
    with pytest.raises(CheckpointError):
        Tagger.of_checkpoint(checkpoint, 1)


def test_a_tag_that_was_not_trained_is_wrong(words):
    actual = [sentence._replace(tags=("NEW",) * len(sentence.tags)) for sentence in sentences(10)]
    scores = evaluate_sentences(words[1].checkpoint(), actual, 1)
    assert scores["accuracy"] == 0
    assert scores["unknown_tags"] == ["NEW"]


def test_rare_characters_are_unknown():
    alphabet = Alphabet.of_texts(["abab", "c a"])
    assert alphabet.codec.symbols == "ab"
    assert alphabet.encode("abc\n\u2603").tolist() == [1, 2, 3, 3, 3]
    assert len(alphabet) == 4
    assert Alphabet.of_texts(["abc"]).codec.symbols == "abc"


def test_answers_stand_at_the_end_of_tokens():
    alphabet = Alphabet.of_texts(["ab ab ab"])
    texts = texts_of(alphabet, [("ab", "a"), ("b",)], 100, [[5, 6], [7]])
    assert texts.symbols.tolist() == [0, 2, 3, 1, 2, 0, 3]
    assert texts.targets.tolist() == [-1, -1, 5, -1, 6, -1, 7]
    assert answer_positions(("ab", "a")).tolist() == [2, 4]


def test_long_sentences_are_cut_between_tokens():
    alphabet = Alphabet.of_texts(["abcd" * 2])
    tokens = ("ab", "cd", "abcdabcd", "a")
    assert pieces_of(tokens, 6) == [(0, 2), (2, 3), (3, 4)]
    texts = texts_of(alphabet, [tokens], 6, [[1, 2, 3, 4]])
    assert texts.lengths.tolist() == [6, 6, 2]
    assert texts.targets[texts.targets >= 0].tolist() == [1, 2, 3, 4]
    assert pieces_of((), 6) == []


def test_some_characters_are_hidden_in_each_step():
    task = TagTask("the corpus", sentences(150))
    hidden, plain = task.batches(CONFIG), task.batches(CONFIG)._batches
    shares = []
    for step in range(10):
        batch, same, original = hidden.batch(step), hidden.batch(step), plain.batch(step)
        assert np.array_equal(batch.inputs, same.inputs)
        changed = batch.inputs != original.inputs
        assert (batch.inputs[changed] == task.alphabet.unknown).all()
        assert (original.inputs[changed] > 0).all()
        shares.append(changed.sum() / (original.inputs > 0).sum())
    assert 0.01 < np.mean(shares) < 0.1


@pytest.mark.parametrize("count, given", [(20, {}), (500, {}), (500, {"minutes": 1.0}), (500, {"hidden_size": 7})])
def test_defaults_are_chosen_with_reasons(count, given):
    task = TagTask("the corpus", sentences(count))
    choice = choose(task, given)
    assert (choice.model.input_size, choice.model.output_size) == (len(task.alphabet), len(task.tags))
    assert choice.model.directions == 2
    lengths = [getattr(choice.training, name) for name in ("steps", "epochs", "minutes")]
    assert sum(length is not None for length in lengths) == 1
    assert len(choice.reasons) >= 6
    for name, value in given.items():
        assert value in (getattr(choice.model, name, None), getattr(choice.training, name, None))
    Trainer(TagTask("the corpus", sentences(count), network=choice.model), choice.training, 1)


def test_a_slow_machine_gets_a_smaller_network():
    task = TagTask("the corpus", sentences(2000))
    sizes = [choose(task, {"minutes": 1.0}, lambda *_, s=speed: s).model for speed in (1e9, 1e4, 1.0)]
    weights = [network.hidden_size * network.num_layers for network in sizes]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > weights[-1] == 64


def test_a_network_of_other_sizes_is_refused():
    with pytest.raises(UsageError, match="symbols and 6 tags"):
        TagTask("the corpus", sentences(20), network=NetworkConfig())
