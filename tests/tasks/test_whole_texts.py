"""Whole texts in batches: each once an epoch, whole, in an order of its own, with little padding."""

import itertools

import numpy as np
import pytest

from rnn_cli.errors import UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.tasks.whole_texts import LONGEST, Reader, Texts, WholeTextBatches, pack, window_length


def texts_of(lengths, seed=0, labels=5):
    """Return texts of these lengths, each of which begins with a boundary and has its number as its label."""
    draws = np.random.default_rng(seed)
    symbols = [np.append(0, draws.integers(1, 9, length - 1)).astype(np.int32) for length in lengths]
    return Texts.labelled(symbols, np.arange(len(lengths)) % labels)


def skewed_lengths(count, seed=0):
    """Return lengths as those of real texts: many short ones, some long ones."""
    return np.random.default_rng(seed).gamma(2.0, 20.0, count).astype(int).clip(0, 250) + 2


def read(batch):
    """Return the texts (symbols, label) that a batch holds, and its number of positions that are padding."""
    found, padding = [], 0
    for inputs, starts, targets in zip(batch.inputs.T, batch.starts.T, batch.targets.T):
        first = None
        for t in range(len(inputs)):
            if first is not None and targets[t] >= 0:
                found.append((tuple(inputs[first : t + 1].tolist()), int(targets[t])))
                first = None
            elif first is None and starts[t] and t + 1 < len(starts) and not starts[t + 1]:
                first = t
            elif first is None:
                assert (starts[t], inputs[t], targets[t]) == (1, 0, -1)
                padding += 1
            else:
                assert not starts[t]
    return found, padding


def epoch(batches, number=0):
    first = number * batches.steps_per_epoch
    return [read(batches.batch(step))[0] for step in range(first, first + batches.steps_per_epoch)]


def listed(texts):
    ends = zip(texts.starts[:-1], texts.starts[1:])
    return sorted((tuple(texts.symbols[a:b].tolist()), int(texts.targets[b - 1])) for a, b in ends)


def test_pack_places_every_text_without_overlap():
    lengths = skewed_lengths(500)
    rows, offsets = pack(lengths, 260)
    taken = np.zeros((rows.max() + 1, 260), int)
    for row, offset, length in zip(rows, offsets, lengths):
        taken[row, offset : offset + length] += 1
    assert offsets.min() >= 0
    assert (offsets + lengths).max() <= 260
    assert set(np.unique(taken)) <= {0, 1}
    assert taken.sum() == lengths.sum()


@pytest.mark.parametrize(
    "lengths, capacity, rows", [([5, 4, 3, 3, 2], 9, 2), ([1] * 10, 4, 3), ([4, 4], 4, 2), ([], 4, 0)]
)
def test_pack_needs_few_rows(lengths, capacity, rows):
    assert len(set(pack(np.array(lengths, int), capacity)[0].tolist())) == rows


def test_rows_are_nearly_full():
    for count, least in ((300, 0.9), (5000, 0.97)):
        lengths = skewed_lengths(count)
        assert WholeTextBatches(texts_of(lengths), 32, int(lengths.max()), 1).fill_rate > least


def test_a_million_short_texts_are_packed_quickly():
    lengths = np.random.default_rng(1).integers(2, 30, 1_000_000)
    rows, _ = pack(lengths, 64)
    assert lengths.sum() / ((rows.max() + 1) * 64) > 0.99


def test_an_epoch_reads_each_text_once():
    texts = texts_of(skewed_lengths(200))
    batches = WholeTextBatches(texts, 8, 260, 3)
    for number in range(2):
        assert sorted(itertools.chain(*epoch(batches, number))) == listed(texts)


def test_epochs_differ_and_follow_from_the_seed():
    texts = texts_of(skewed_lengths(200))
    first, again, other = (WholeTextBatches(texts, 8, 260, seed) for seed in (3, 3, 4))
    assert epoch(first) != epoch(first, 1)
    assert epoch(first, 1) == epoch(again, 1)
    assert epoch(first) != epoch(other)
    np.testing.assert_array_equal(first.batch(1).inputs, again.batch(1).inputs)


def test_validation_has_the_same_order_in_every_epoch():
    batches = WholeTextBatches(texts_of(skewed_lengths(50)), 4, 260)
    assert epoch(batches) == epoch(batches, 1)


def test_rows_are_spread_evenly_over_the_steps():
    batches = WholeTextBatches(texts_of([10] * 33), 16, 10, 0)
    sizes = [batches.batch(step).starts.shape[1] for step in range(batches.steps_per_epoch)]
    assert sizes == [11, 11, 11]
    assert batches.batch_size == 11


def test_one_short_text_is_a_batch():
    batches = WholeTextBatches(texts_of([2]), 32, 16, 0)
    assert (batches.steps_per_epoch, batches.units_per_epoch) == (1, 1)
    assert read(batches.batch(5))[0] == listed(batches.texts)


def test_a_text_longer_than_a_row_is_refused():
    with pytest.raises(UsageError, match="a text has 20 symbols, and `sequence_length` is 16"):
        WholeTextBatches(texts_of([3, 20]), 4, 16, 0)


def test_targets_have_to_fit_the_symbols():
    with pytest.raises(UsageError, match="a target for each"):
        Texts.join([np.zeros(3, np.int32)], [np.zeros(2, np.int32)])


def test_window_length_is_that_of_the_longest_text():
    assert [window_length(np.array(lengths, int)) for lengths in ([], [3, 50], [9999])] == [32, 50, LONGEST]


@pytest.mark.parametrize("directions, readout", [(1, "last"), (2, "mean")])
def test_answers_do_not_depend_on_other_texts_or_threads(directions, readout):
    sizes = {"input_size": 9, "output_size": 5, "hidden_size": 12}
    config = NetworkConfig(**sizes, directions=directions, readout=readout)
    model = Model.initialised(config, np.random.default_rng(1))
    texts = texts_of(skewed_lengths(60))
    together = Reader(model, Team(2)).probabilities(texts)
    alone = Reader(model, Team(1))
    for index in (0, 7, 59):
        np.testing.assert_array_equal(alone.probabilities(texts.take(np.array([index])))[0], together[index])
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)


def test_each_scored_symbol_is_answered_in_its_order():
    model = Model.initialised(NetworkConfig(input_size=9, output_size=3, hidden_size=8), np.random.default_rng(1))
    symbols = [np.array(text, np.int32) for text in ([0, 3, 4, 5], [0, 1], [0, 6, 7])]
    targets = [np.array(row, np.int32) for row in ([-1, 0, -1, 2], [-1, 1], [-1, -1, 0])]
    reader = Reader(model, Team(1))
    every = reader.probabilities(Texts.join(symbols, targets))
    assert every.shape == (4, 3)
    one_by_one = [reader.probabilities(Texts.join([s], [t])) for s, t in zip(symbols, targets)]
    np.testing.assert_array_equal(every, np.concatenate(one_by_one))


def test_answers_change_with_the_weights():
    model = Model.initialised(NetworkConfig(input_size=9, output_size=3, hidden_size=8), np.random.default_rng(1))
    reader, texts = Reader(model, Team(1)), texts_of([4, 5], labels=3)
    before = reader.probabilities(texts)
    model.parameters *= 0.5
    reader.changed()
    assert (reader.probabilities(texts) != before).any()


def test_a_text_too_long_to_answer_is_refused():
    model = Model.initialised(NetworkConfig(input_size=9, output_size=5, hidden_size=8), np.random.default_rng(1))
    with pytest.raises(UsageError, match="the limit is 4,096"):
        Reader(model, Team(1)).probabilities(texts_of([LONGEST + 1]))
