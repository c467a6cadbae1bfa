"""Text that is drawn follows the n-grams of the text, is another one each epoch, and is read beside all of it."""

from collections import Counter

import numpy as np
import pytest
from reference_ngrams import SlowGrams, V, with_past

from rnn_cli.errors import UsageError
from rnn_cli.text.augmentation import LONGEST, ORDER, Augmenter
from rnn_cli.text.batches import IGNORED, StreamBatches
from rnn_cli.text.vocabulary import BOUNDARY

MODES = pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])


def text(size, lines):
    """Return symbols with regularities, and boundaries."""
    generator = np.random.default_rng(1)
    ids = np.cumsum(generator.choice([1, 1, 2, 3], size)) % (V - 1) + 1
    ids[generator.random(size) < 0.15] = BOUNDARY
    ids[[0, *([-1] if lines else [])]] = BOUNDARY
    ids[1:][(ids[1:] == BOUNDARY) & (ids[:-1] == BOUNDARY)] = 1
    return ids.astype(np.uint8)


def drawn(augmenter, epoch):
    """Return what stands behind the text."""
    return augmenter.text(epoch)[len(augmenter.ids) :]


@MODES
def test_symbols_follow_the_ngrams(lines):
    ids = text(300, lines)
    grams = SlowGrams(ORDER, lines)
    for past, symbol in with_past(ids, lines):
        grams.learn(past[-ORDER + 1 :], symbol)
    # What is drawn for a stream starts without a past, as if there were no boundary before it.
    found = {}
    for past, symbol in with_past(np.append(BOUNDARY, Augmenter(ids, V, lines, 400_000, 1).draw(0)), lines):
        if lines or len(past) > ORDER:
            found.setdefault(tuple(past[-ORDER + 1 :]), Counter())[symbol] += 1
    often = {past: counter for past, counter in found.items() if counter.total() > 2000}
    assert len(often) > 20
    for past, counter in often.items():
        for symbol, p in grams.distribution(list(past)).items():
            n = counter.total()
            assert abs(counter[symbol] / n - p) < 5 * (p * (1 - p) / n) ** 0.5 + 1e-9, (past, symbol)


@MODES
def test_every_epoch_has_its_own_text_again_and_again(lines):
    ids = text(200, lines)
    augmenter, again = (Augmenter(ids, V, lines, 3000, 7) for _ in range(2))
    texts = [augmenter.text(epoch) for epoch in range(3)]
    assert all(np.array_equal(each[: len(ids)], ids) for each in texts)
    assert np.array_equal(texts[2], again.text(2))
    others = [texts[1], Augmenter(ids, V, lines, 3000, 8).text(0)]
    assert not any(np.array_equal(texts[0], other) for other in others)


def test_drawn_lines_are_whole_and_of_lengths_that_the_text_has():
    ids = text(200, True)
    augmenter, longest = Augmenter(ids, V, True, 2000, 1), np.diff(np.flatnonzero(ids == BOUNDARY)).max()
    for epoch in range(3):
        symbols, raw = drawn(augmenter, epoch), augmenter.draw(epoch)
        assert symbols[-1] == BOUNDARY
        assert 1000 < len(symbols) <= 2000
        kept = "".join(map(str, raw)).split("0")[:-1]
        assert {*map(len, kept)} - {*range(1, longest)}  # so that there is something to leave out
        kept = [line for line in kept if 0 < len(line) < longest]
        assert "".join(map(str, symbols)) == "".join(f"{line}0" for line in kept)


def test_of_one_endless_line_nothing_is_drawn():
    ids = np.array([0, *[1, 2] * 3000, 0], np.uint8)
    assert len(drawn(Augmenter(ids, V, True, 100, 1), 0)) == 0


@MODES
def test_streams_read_the_text_and_what_is_drawn(lines):
    ids = text(500, lines)
    augmenter = Augmenter(ids, V, lines, 700, 3)
    streams = StreamBatches(ids, lines, 4, 8, 3, augmenter)
    for epoch in range(3):
        first = epoch * streams.steps_per_epoch
        targets = [streams.window(first + step)[1] for step in range(streams.steps_per_epoch)]
        scored = np.concatenate(targets)
        expected = Counter(augmenter.text(epoch)[1:].tolist())
        if not lines:
            del expected[BOUNDARY]
        assert Counter(scored[scored != IGNORED].tolist()) == expected


def test_a_long_text_is_refused():
    with pytest.raises(UsageError, match="`augment` is for texts of up to 1,000,000 characters"):
        Augmenter(np.ones(LONGEST + 1, np.uint8), V, False, 10, 1)
