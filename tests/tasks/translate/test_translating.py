"""Translators learn, answer the same for any threads and company, search well, resume, and are checked when loaded."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.errors import CheckpointError, TaskError, UsageError
from rnn_cli.network.pair_window import PairBatch, PairWindow
from rnn_cli.network.parameters import torch_shapes
from rnn_cli.tasks.translate.autoconfig import LONGEST, choose
from rnn_cli.tasks.translate.batches import PairBatches
from rnn_cli.tasks.translate.pairs import Pairs, split_pairs
from rnn_cli.tasks.translate.scores import evaluate_pairs, figures_of
from rnn_cli.tasks.translate.symbols import Symbols
from rnn_cli.tasks.translate.task import TranslateTask
from rnn_cli.tasks.translate.translator import LENGTH_POWER, Translator
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.trainer import Trainer

CONFIG = TrainingConfig(batch_size=8, sequence_length=8, learning_rate=0.02, epochs=30, evaluate_every=40)


def pairs_of(sources, target=lambda source: source[::-1]):
    sources = list(sources)
    return Pairs("the pairs", "digest", sources, [target(source) for source in sources])


def words(letters="abc", lengths=(1, 2, 3)):
    return ["".join(word) for length in lengths for word in itertools.product(letters, repeat=length)]


def trainer_of(data, validation=None, threads=1, config=CONFIG):
    task = TranslateTask(data, validation)
    network = replace(task.network, hidden_size=20)
    return Trainer(TranslateTask(data, validation, network=network), config, threads)


@pytest.fixture(scope="module")
def trained():
    """A run that has learned to reverse words of up to three letters."""
    data = pairs_of(words())
    trainer = trainer_of(data, data)
    list(trainer)
    return trainer


@pytest.fixture(scope="module")
def unsure():
    """A translator of random weights, whose answers have many rivals."""
    task = TranslateTask(pairs_of(words("ab")))
    task = TranslateTask(task.training, network=replace(task.network, hidden_size=6))
    trainer = Trainer(task, CONFIG, 1)
    generator = np.random.default_rng(4)
    tensors = {name: 2 * generator.standard_normal(shape) for name, shape in torch_shapes(task.network).items()}
    trainer.model.layout.from_torch(trainer.model.parameters, tensors)
    return Translator(trainer.model, task.alphabets, trainer.team)


def decoded(translator, answers):
    return [translator.symbols.decode(answer.symbols) for answer in answers]


def step_bits(translator, source, target):
    """Return the bits of each symbol of a target (numbers), and of its end, by the kernels of training."""
    window = PairWindow(translator.model, 32, 1, translator.team)
    window.load(PairBatch.of([translator.symbols.encode_source(source)], [np.array(target, np.int32)]))
    window.pack()
    window.score()
    return window.losses[:, 0].astype(np.float64) / math.log(2)


def bits_of(translator, source, target):
    """Return the bits of a target, with its end."""
    return float(step_bits(translator, source, translator.symbols.encode_target(target)).sum())


# Learning


def test_reversing_is_learned_and_scored(trained):
    translator = Translator.of_checkpoint(trained.checkpoint(), 1)
    scores = evaluate_pairs(translator, pairs_of(words()))
    assert scores["right"] >= 38
    assert scores["pairs"] == scores["sources"] == 39
    assert scores["baseline"]["right"] == 15  # what reads the same backwards
    assert scores["bits_per_symbol"] < 0.3
    assert trained.progress.best_score == pytest.approx(scores["right"] / 39)
    assert "a copy of the source would be 38.5%" in trained.task.figures(0.1, 1.0)


def test_a_source_with_several_targets_counts_once():
    data = Pairs("x", "", ["a", "a", "b"], ["x y", "x z", "q"])
    found = figures_of(["x z", "x z", "r"], data, words=True)
    assert found == {"right": 1, "word_error_rate": 0.5, "symbol_error_rate": pytest.approx(1 / 3)}


@pytest.mark.parametrize("step", [7, 63])
def test_a_stopped_run_resumes_with_the_same_bits(tmp_path, step):
    data = pairs_of(words())
    config = replace(CONFIG, epochs=15, dropout=0.3, recurrent_dropout=0.2, average=0.3)
    runs = [trainer_of(data, data, threads, config) for threads in (1, 2)]
    runs[1].stop = lambda: runs[1].progress.step >= step
    for run in runs:
        list(run)
    save_checkpoint(tmp_path / "model", runs[1].checkpoint())
    checkpoint = load_checkpoint(tmp_path / "model")
    resumed = Trainer.resume(checkpoint, TranslateTask(data, data), 1)
    list(resumed)
    assert np.array_equal(resumed.best_parameters, runs[0].best_parameters)
    other = replace(data, digest="other")
    with pytest.raises(UsageError, match="is not what this model was trained on"):
        Trainer.resume(checkpoint, TranslateTask(other, data), 1)


# Answers


@pytest.mark.parametrize("threads", [1, 3])
def test_answers_do_not_depend_on_threads_or_company(unsure, threads):
    sources = [*words("ab"), "", "?", "ab" * 20]
    together = unsure.translate(sources, count=2, attention=True)
    checked = Translator(unsure.model, unsure.symbols, type(unsure.team)(threads))
    for source, expected in zip(sources, together):
        (alone,) = checked.translate([source], count=2, attention=True)
        for mine, theirs in zip(alone, expected, strict=True):
            assert mine.symbols == theirs.symbols
            assert mine.bits == theirs.bits
            assert np.array_equal(mine.attention, theirs.attention)
    assert checked.translate([]) == []


def test_bits_of_an_answer_are_those_of_training(unsure):
    for source in ("a", "ba", "aab"):
        for answer in unsure.translate([source], count=4)[0]:
            if len(answer.symbols) < 2 * unsure.symbols.longest + 8:  # else it was cut off, and has no end
                (target,) = decoded(unsure, [answer])
                assert answer.bits == pytest.approx(bits_of(unsure, source, target), rel=1e-4)


def test_a_wide_beam_finds_the_best_answer(unsure):
    candidates = ["", *words("ab", range(1, 6))]
    for source in ("a", "bb", "abb"):
        by_score = sorted(
            (bits_of(unsure, source, word) / (1 + len(word)) ** LENGTH_POWER, word) for word in candidates
        )
        found = unsure.translate([source], width=5)[0]
        scores = [answer.bits / (1 + len(answer.symbols)) ** LENGTH_POWER for answer in found]
        assert scores == sorted(scores)
        assert scores[0] <= by_score[0][0] + 1e-4


def test_greedy_takes_the_best_symbol_at_each_step(unsure):
    for source in ("b", "aba", "bbb"):
        (answer,) = unsure.translate([source])[0]
        assert answer.symbols
        for length, symbol in enumerate(answer.symbols):
            rivals = {}
            for other in (1, 2):
                rivals[other] = step_bits(unsure, source, [*answer.symbols[:length], other])[length]
            rivals[0] = step_bits(unsure, source, answer.symbols[:length])[length]
            assert min(rivals, key=rivals.get) == symbol


def test_attention_is_a_distribution_over_the_source(trained):
    translator = Translator.of_checkpoint(trained.checkpoint(), 1)
    (answer,) = translator.translate(["abc"], attention=True)[0]
    assert answer.attention.shape == (len(answer.symbols) + 1, len("abc") + 1)
    np.testing.assert_allclose(answer.attention.sum(axis=1), 1, rtol=1e-5)


def test_too_wide_a_beam_is_refused(trained):
    with pytest.raises(UsageError, match="`beam` is at most 10 for this model"):
        Translator.of_checkpoint(trained.checkpoint(), 1).translate(["a"], width=11)


def test_overflowing_outputs_are_refused(trained):
    checkpoint = trained.checkpoint()
    checkpoint.parameters["output.weight"][:] = 3e38
    with pytest.raises(CheckpointError, match="finite"):
        Translator.of_checkpoint(checkpoint, 1).translate(["abc"])


# Data


def test_pairs_of_one_source_are_held_out_together():
    data = Pairs("x", "", [f"s{number // 2}" for number in range(200)], ["t"] * 200)
    training, validation, reason = split_pairs(data, 0.2, 1)
    assert not set(training.sources) & set(validation.sources)
    assert len(validation) == 40
    assert "40 of 200 pairs, at random, those of one source together" in reason
    assert split_pairs(data, 0, 1)[1] is None


def test_a_batch_depends_on_its_step_alone():
    data = pairs_of(words("abcd"))
    symbols = Symbols.of_pairs(data)
    sources = [symbols.encode_source(source) for source in data.sources]
    targets = [symbols.encode_target(target) for target in data.targets]
    batches = PairBatches(sources, targets, 8, 3)
    first = [batches.batch(step) for step in range(2 * batches.steps_per_epoch)]
    again = batches.batch(5)
    assert all(np.array_equal(mine, other) for mine, other in zip(first[5], again))
    for epoch in range(2):
        part = first[epoch * batches.steps_per_epoch :][: batches.steps_per_epoch]
        seen = sorted(tuple(row[row > 0]) for batch in part for row in batch.sources.T)
        assert seen == sorted(tuple(source[:-1]) for source in sources)
    # Batches hold texts of about the same length, so that little is padding.
    assert all(np.ptp(batch.lengths) <= 2 for batch in first)


def test_symbols_round_trip_and_the_unknown_are_known():
    data = Pairs("x", "", ["neN", "ab", "ab"], ["n e", "Na b", "Na b"])
    symbols = Symbols.of_pairs(data, words=True)
    assert symbols.decode(symbols.encode_target("Na b")) == "Na b"
    assert symbols.encode_target("b z").tolist()[1] == -1
    assert symbols.encode_source("a☃").tolist()[1] == symbols.encode_source("☂").tolist()[0]


@pytest.mark.parametrize(
    "count, given", [(4, {}), (100, {}), (3000, {}), (12000, {"minutes": 1.0}), (50, {"dropout": 0.0})]
)
def test_defaults_are_chosen_with_reasons(count, given):
    data = pairs_of(str(number) for number in range(count))
    task = TranslateTask(data)
    choice = choose(task, given, lambda *_: 1e6)
    assert choice.model.directions == 2
    lengths = [getattr(choice.training, name) for name in ("steps", "epochs", "minutes")]
    assert sum(length is not None for length in lengths) == 1
    assert len(choice.reasons) >= 6
    assert choice.training.batch_size <= count
    for name, value in given.items():
        assert getattr(choice.training, name) == value


def test_a_slow_machine_gets_a_smaller_network():
    task = TranslateTask(pairs_of(str(number) for number in range(5000)))
    sizes = [choose(task, {"minutes": 1.0}, lambda *_, s=speed: s).model.hidden_size for speed in (1e9, 1e4, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] == 64


def test_a_very_long_pair_is_left_out():
    data = pairs_of([*words("ab"), "a" * (LONGEST + 5)])
    task = TranslateTask(data)
    choice = choose(task, {})
    assert choice.training.sequence_length == LONGEST
    assert any("1 longer pairs are left out" in reason for reason in choice.reasons)
    assert task.batches(choice.training).units_per_epoch < LONGEST
    with pytest.raises(UsageError, match="no pair of the pairs has up to 1 symbols"):
        task.batches(replace(CONFIG, sequence_length=1))


# The file


@pytest.mark.parametrize(
    "damage",
    [
        {"outputs": ["a"]},
        {"outputs": ["a", "a", "b"]},
        {"outputs": ["a", "b", 3]},
        {"outputs": ["a", "b", "c\n"]},
        {"form": "NFKC"},
        {"words": 1},
        {"longest": 0},
        {"longest": 10**9},
        {"codec": {"symbols": "ab", "lines": False}},
        {"codec": {"symbols": None, "lines": False}},
        {"more": 1},
    ],
)
def test_a_damaged_description_is_refused(trained, damage):
    checkpoint = trained.checkpoint()
    checkpoint.task = {**checkpoint.task, **damage}
    with pytest.raises(CheckpointError):
        Translator.of_checkpoint(checkpoint, 1)


def test_other_models_do_not_translate(trained):
    checkpoint = trained.checkpoint()
    checkpoint.task = {"name": "tag"}
    with pytest.raises(TaskError):
        Translator.of_checkpoint(checkpoint, 1)


def test_a_network_of_other_sizes_is_refused(trained):
    with pytest.raises(UsageError, match="does not have the sizes"):
        TranslateTask(pairs_of(["vwxyz"]), network=trained.task.network)
