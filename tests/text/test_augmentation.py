"""Sampled text follows the n-grams of the text, differs in each epoch, and is read beside the whole text."""

from collections import Counter

import numpy as np
import pytest
from reference_ngrams import SlowGrams, V, with_past

from rnn_cli.errors import UsageError
from rnn_cli.text.augmentation import LONGEST, ORDER, Augmenter
from rnn_cli.text.batches import IGNORED, StreamBatches
from rnn_cli.text.codecs import BOUNDARY

MODES = pytest.mark.parametrize("line_mode", [False, True], ids=["stream", "lines"])


def text(size, line_mode):
    """Return regular symbols with boundaries."""
    generator = np.random.default_rng(1)
    ids = np.cumsum(generator.choice([1, 1, 2, 3], size)) % (V - 1) + 1
    ids[generator.random(size) < 0.15] = BOUNDARY
    ids[[0, *([-1] if line_mode else [])]] = BOUNDARY
    ids[1:][(ids[1:] == BOUNDARY) & (ids[:-1] == BOUNDARY)] = 1
    return ids.astype(np.uint8)


def drawn(augmenter, epoch):
    """Return the symbols after the text."""
    return augmenter.text(epoch)[len(augmenter.ids) :]


@MODES
def test_symbols_follow_the_ngrams(line_mode):
    ids = text(300, line_mode)
    grams = SlowGrams(ORDER, line_mode)
    for past, symbol in with_past(ids, line_mode):
        grams.learn(past[-ORDER + 1 :], symbol)
    # The sample of a stream starts without a context, as if there were no boundary before it.
    found = {}
    for past, symbol in with_past(np.append(BOUNDARY, Augmenter(ids, V, line_mode, 400_000, 1).sample(0)), line_mode):
        if line_mode or len(past) > ORDER:
            found.setdefault(tuple(past[-ORDER + 1 :]), Counter())[symbol] += 1
    often = {past: counter for past, counter in found.items() if counter.total() > 2000}
    assert len(often) > 20
    for past, counter in often.items():
        for symbol, p in grams.distribution(list(past)).items():
            n = counter.total()
            assert abs(counter[symbol] / n - p) < 5 * (p * (1 - p) / n) ** 0.5 + 1e-9, (past, symbol)


@MODES
def test_every_epoch_has_its_own_repeatable_text(line_mode):
    ids = text(200, line_mode)
    augmenter, again = (Augmenter(ids, V, line_mode, 3000, 7) for _ in range(2))
    texts = [augmenter.text(epoch) for epoch in range(3)]
    assert all(np.array_equal(each[: len(ids)], ids) for each in texts)
    assert np.array_equal(texts[2], again.text(2))
    others = [texts[1], Augmenter(ids, V, line_mode, 3000, 8).text(0)]
    assert not any(np.array_equal(texts[0], other) for other in others)


def test_sampled_lines_are_no_longer_than_those_of_the_text():
    ids = text(200, True)
    augmenter, longest = Augmenter(ids, V, True, 2000, 1), np.diff(np.flatnonzero(ids == BOUNDARY)).max()
    for epoch in range(3):
        symbols, raw = drawn(augmenter, epoch), augmenter.sample(epoch)
        assert symbols[-1] == BOUNDARY
        assert 1000 < len(symbols) <= 2000
        kept = "".join(map(str, raw)).split("0")[:-1]
        assert {*map(len, kept)} - {*range(1, longest)}  # so that there are lines to drop
        kept = [line for line in kept if 0 < len(line) < longest]
        assert "".join(map(str, symbols)) == "".join(f"{line}0" for line in kept)


def test_nothing_is_sampled_from_one_endless_line():
    ids = np.array([0, *[1, 2] * 3000, 0], np.uint8)
    assert len(drawn(Augmenter(ids, V, True, 100, 1), 0)) == 0


@MODES
def test_streams_read_the_text_and_the_sample(line_mode):
    ids = text(500, line_mode)
    augmenter = Augmenter(ids, V, line_mode, 700, 3)
    streams = StreamBatches(ids, line_mode, 4, 8, 3, augmenter)
    for epoch in range(3):
        first = epoch * streams.steps_per_epoch
        targets = [streams.window(first + step)[1] for step in range(streams.steps_per_epoch)]
        scored = np.concatenate(targets)
        expected = Counter(augmenter.text(epoch)[1:].tolist())
        if not line_mode:
            del expected[BOUNDARY]
        assert Counter(scored[scored != IGNORED].tolist()) == expected


def test_a_long_text_is_refused():
    with pytest.raises(UsageError, match="`augment` is for texts of up to 1,000,000 characters"):
        Augmenter(np.ones(LONGEST + 1, np.uint8), V, False, 10, 1)
