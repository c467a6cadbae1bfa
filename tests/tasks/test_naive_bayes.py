"""Naive Bayes beside a classifier: counts of grams, and their weights in the answer."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.threads import Team
from rnn_cli.tasks.classify.model import GRAMS, TextClassifier, grams_of
from rnn_cli.tasks.classify.task import ClassifyTask
from rnn_cli.tasks.labelled_texts import LabelledTexts
from rnn_cli.tasks.naive_bayes import RIDGE, Judged, NaiveBayes, fit_weights, softmax, texts_to_count
from rnn_cli.tasks.tag.alphabet import Alphabet, texts_of
from rnn_cli.tasks.tag.evaluation import evaluate_sentences
from rnn_cli.tasks.tag.sentences import Sentence
from rnn_cli.tasks.tag.tagger import GROUPS
from rnn_cli.tasks.tag.tagger import features_of as features_of_tokens
from rnn_cli.tasks.tag.task import TagTask
from rnn_cli.tasks.whole_texts import Texts
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

WORDS = ["abab", "aba", "b", "cdcd", "cdc", "dcdcd", "acbd", "bdac"]
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
SYMBOLS = " abcde"  # the boundary, and the others
FLAT = np.full((1, 3), 1 / 3)


def features_of(words):
    """The grams of texts as a codec gives them: a boundary, and the symbols."""
    symbols = [np.array([0, *map(SYMBOLS.index, word)], np.int32) for word in words]
    return grams_of(Texts.labelled(symbols, [0] * len(words)))


def grams(word, order):
    framed = f" {word} "
    return [framed[start : start + order] for start in range(len(framed) - order + 1)]


@pytest.fixture(scope="module")
def counted():
    return NaiveBayes.of(features_of(WORDS), LABELS, 3)


@pytest.mark.parametrize("word", ["abcd", "cab", "e", "aeb", ""])
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_evidence_is_that_of_the_equation(counted, word, smoothing):
    model = replace(counted, smoothing=smoothing)
    found = model.evidence(features_of([word]), FLAT, Team(1))[0]
    assert found[0] == pytest.approx([math.log(1 / 3)] * 3)
    for order in range(1, GRAMS + 1):
        counts = [Counter() for _ in range(3)]
        for text, label in zip(WORDS, LABELS):
            counts[label].update(grams(text, order))
        kinds = set().union(*counts)
        known = [gram for gram in grams(word, order) if gram in kinds]
        for label in range(3):
            total = counts[label].total() + smoothing * len(kinds)
            logs = [math.log((counts[label][gram] + smoothing) / total) for gram in known]
            assert found[order, label] == pytest.approx(sum(logs) / math.sqrt(max(len(logs), 1)), abs=1e-5)


def test_a_text_without_known_grams_keeps_the_networks_answer(counted):
    model = replace(counted, weights=np.array([1.0, 0, 5, 5, 5, 5, 5]))
    probabilities = np.array([[0.2, 0.5, 0.3]])
    assert model.mixed(features_of(["eee"]), probabilities, Team(1)) == pytest.approx(probabilities)


def test_no_text_depends_on_others_or_on_threads(counted):
    words = [*WORDS, "dadcd", "", "abcabcabcabcabc"]
    model, flat = replace(counted, weights=np.linspace(0.5, 1, 7)), np.repeat(FLAT, 11, axis=0)
    together = model.mixed(features_of(words), flat, Team(3))
    for word, answer in zip(words, together):
        assert np.array_equal(model.mixed(features_of([word]), FLAT, Team(1))[0], answer)


def test_too_many_grams_leave_the_commonest(counted):
    small = NaiveBayes.of(features_of(WORDS), LABELS, 3, most=20)
    assert 0 < len(small.keys) <= 20 < len(counted.keys)
    assert set(small.keys) < set(counted.keys)
    assert small.sizes.sum() == len(small.keys)


@pytest.mark.parametrize("most, expected", [(30, [0, 1, 2, 3, 4]), (29, [0, 2, 4]), (10, [0, 3]), (1, [0])])
def test_of_many_texts_some_are_counted_evenly(most, expected):
    assert texts_to_count([6] * 5, most).tolist() == expected


def test_weights_are_at_the_minimum_of_the_loss():
    draws = np.random.default_rng(1)
    evidence, labels = draws.normal(size=(60, 4, 3)), draws.integers(0, 3, 60)
    weights, loss = fit_weights(evidence, labels)

    def cost(weights):
        nats = -np.log(softmax(np.einsum("j,njl->nl", weights, evidence))[np.arange(60), labels])
        return nats.sum() + RIDGE / 2 * ((weights - np.eye(4)[0]) ** 2).sum()

    steps = 1e-5 * np.eye(4)
    assert [(cost(weights + step) - cost(weights - step)) / 2e-5 for step in steps] == pytest.approx([0] * 4, abs=1e-2)
    assert loss < -np.log(softmax(evidence[:, 0])[np.arange(60), labels]).mean()


def test_the_file_holds_the_same_model(counted):
    model = counted.fit(Judged(features_of(WORDS), LABELS, np.repeat(FLAT, 8, axis=0)), Team(1))
    again = NaiveBayes.from_tensors(model.to_tensors(), GRAMS, 3)
    words = features_of(["abcd", "dcba"])
    flat = np.repeat(FLAT, 2, axis=0)
    assert np.array_equal(model.mixed(words, flat, Team(1)), again.mixed(words, flat, Team(1)))


def damaged(name, change):
    return pytest.param(name, change, id=f"{name} {change.__name__}")


def shorter(tensor):
    return tensor[:-1]


def zero(tensor):
    return tensor * 0


def negative(tensor):
    return -tensor


def huge(tensor):
    return tensor * 0 + np.array(9e8).astype(tensor.dtype)


def wider(tensor):
    return tensor.astype(np.float32)


def repeated(tensor):
    return np.tile(tensor[:2], len(tensor) // 2)


@pytest.mark.parametrize(
    "name, change",
    [
        *(damaged(name, shorter) for name in ("sizes", "keys", "entries", "labels", "counts", "weights")),
        *(damaged(name, wider) for name in ("sizes", "keys", "entries", "labels", "counts", "weights")),
        *(damaged(name, zero) for name in ("sizes", "entries", "counts", "weights")),
        *(damaged(name, negative) for name in ("sizes", "weights")),
        *(damaged(name, huge) for name in ("sizes", "labels", "weights")),
        damaged("keys", repeated),
    ],
)
def test_damaged_counts_are_refused(counted, name, change):
    tensors = counted.to_tensors()
    tensors[f"feature_{name}"] = change(tensors[f"feature_{name}"])
    with pytest.raises(CheckpointError, match="damaged"):
        NaiveBayes.from_tensors(tensors, GRAMS, 3)


def test_missing_counts_are_refused(counted):
    tensors = counted.to_tensors()
    del tensors["feature_keys"]
    with pytest.raises(CheckpointError, match="feature_keys"):
        NaiveBayes.from_tensors(tensors, GRAMS, 3)


def test_many_features_have_different_keys():
    draws = np.random.default_rng(1).integers(1, 60, (20_000, 12)).astype(np.int32)
    symbols = [np.append(np.int32(0), row) for row in draws]
    features = grams_of(Texts.labelled(symbols, [0] * len(symbols)))
    model = NaiveBayes.of(features, np.arange(len(symbols)) % 5, 5)
    assert len(model.keys) > 500_000
    NaiveBayes.from_tensors(model.to_tensors(), GRAMS, 5)


# A letter somewhere in a word tells its label, which a network of one step has not learned.
CHOICES = np.random.default_rng(5).integers(0, 4, (120, 6))
TEXTS = ["".join("abxy"[letter] for letter in row) + "zq"[number % 2] for number, row in enumerate(CHOICES)]
DATA = LabelledTexts("texts", "0", TEXTS, np.arange(120) % 2, ("q", "z"), ("line 1",) * 2, fasttext=False, empty=0)
CONFIG = TrainingConfig(batch_size=4, sequence_length=32, steps=1, evaluate_every=1)


def trained(config=CONFIG, validation=True):
    half = np.arange(120) < 80
    held_out = DATA.take(np.flatnonzero(~half)) if validation else None
    task = ClassifyTask(DATA.take(np.flatnonzero(half)), held_out)
    task.network = replace(task.network, hidden_size=4)
    trainer = Trainer(task, config, 1)
    list(trainer)
    return trainer.checkpoint(), task


def test_counts_answer_what_the_network_has_not_learned(tmp_path):
    checkpoint, task = trained()
    save_checkpoint(tmp_path / "model", checkpoint)
    classifier = TextClassifier(load_checkpoint(tmp_path / "model"))
    alone = TextClassifier(replace(checkpoint, counts={}))
    texts, labels = task.validation.texts, task.validation.labels
    assert (classifier.probabilities(texts).argmax(axis=1) == labels).all()
    assert (alone.probabilities(texts).argmax(axis=1) == labels).mean() < 0.9
    assert "100.0% right" in task.remarks[0]
    assert checkpoint.record["mixture"]["loss"] < checkpoint.record["mixture"]["network_loss"]


@pytest.mark.parametrize("config, validation", [(replace(CONFIG, counts=False), True), (CONFIG, False)])
def test_without_counts_or_held_out_texts_it_is_alone(config, validation):
    checkpoint, task = trained(config, validation)
    assert not checkpoint.counts
    assert not task.remarks


def test_held_out_texts_of_unknown_labels_fit_nothing():
    known = ClassifyTask(DATA, replace(DATA, names=("m", "n")))
    known.network = replace(known.network, hidden_size=4)
    trainer = Trainer(known, CONFIG, 1)
    list(trainer)
    assert not trainer.checkpoint().counts
    tagged = [Sentence(each.tokens, ["new"] * len(each.tokens)) for each in sentences(4, 2)]
    task = TagTask("made", sentences(20, 1), tagged)
    task.network = replace(task.network, hidden_size=4)
    trainer = Trainer(task, replace(CONFIG, sequence_length=64), 1)
    list(trainer)
    assert not trainer.checkpoint().counts


def test_counts_that_do_not_help_are_left_out():
    random = replace(DATA, labels=np.random.default_rng(3).integers(0, 2, 120))
    half = np.arange(120) < 80
    task = ClassifyTask(random.take(np.flatnonzero(half)), random.take(np.flatnonzero(~half)))
    task.network = replace(task.network, hidden_size=4)
    trainer = Trainer(task, CONFIG, 1)
    list(trainer)
    assert not trainer.checkpoint().counts
    assert "left out" in task.remarks[0]


# A tag that follows from the tokens on both sides, which a network of one step has not learned.
NEXT = {"le": "A", "la": "B", "du": "C"}


def sentences(count, seed):
    draws = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        tokens = [str(token) for token in draws.choice(list(NEXT), 6)]
        tags = [NEXT[token] + ("x" if after == "le" else "") for token, after in zip(tokens, [*tokens[1:], ""])]
        found.append(Sentence(tokens, tags))
    return found


def test_a_taggers_counts_know_neighbours(tmp_path):
    task = TagTask("made", sentences(60, 1), sentences(40, 2))
    task.network = replace(task.network, hidden_size=4)
    trainer = Trainer(task, replace(CONFIG, sequence_length=64), 1)
    list(trainer)
    save_checkpoint(tmp_path / "model", trainer.checkpoint())
    checkpoint = load_checkpoint(tmp_path / "model")
    scores = evaluate_sentences(checkpoint, sentences(20, 3), 1)
    assert scores["accuracy"] > 0.99
    assert evaluate_sentences(replace(checkpoint, counts={}), sentences(20, 3), 1)["accuracy"] < 0.8


def test_tokens_have_the_features_that_are_said():
    alphabet = Alphabet.of_texts(["abcdab abcdab x x  "])
    texts = texts_of(alphabet, [["abcd", "x", "abcd"], ["x"], ["bcd", "x"]], 4096)
    keys, starts = features_of_tokens(texts)
    assert starts.tolist() == list(range(7))

    def equal(first, second):
        return [group for group in range(GROUPS) if keys[group, first] and keys[group, first] == keys[group, second]]

    word, ends, beginnings = [0], [1, 2, 3, 4], [5, 6]
    before, after, with_before, with_after, end_before, end_after, both_ends = range(7, 14)
    assert equal(0, 2) == [*word, *ends, *beginnings]  # the same token in other places
    assert equal(1, 3) == [*word, 1]  # a token of one character has one end and no beginning
    assert equal(0, 4) == [1, 2, 3, before, after, end_before, end_after, both_ends]  # abcd and bcd, first and before x
    assert equal(1, 5) == [*word, 1, end_before]  # the ends of abcd and of bcd are alike
    assert (keys[:, :6] != 0).sum() == 6 * GROUPS - 3 * 5 - 1  # x lacks 3 ends and 2 beginnings, bcd one end
    assert len(np.unique(keys[keys != 0])) > 40
    assert not {with_before, with_after} & set(equal(1, 5))
