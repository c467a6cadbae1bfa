"""The match model against one in dictionaries, and the file that holds it."""

import numpy as np
import pytest

from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.text.matches import BUCKETS, LONG, SHORT
from rnn_cli.kernels.text.mixture import score_matches
from rnn_cli.language.matches import MatchModel, first_shares
from rnn_cli.language.ngrams import NgramModel, with_room

V = 9
MIX = 0x9E3779B97F4A7C15


def repetitive(seed, size, line_mode):
    """Return a text that copies parts of itself, with some mistakes."""
    random = np.random.default_rng(seed)
    ids = random.integers(1, V, size)
    for _ in range(size // 60):
        length, source, target = random.integers(5, 60), *random.integers(1, size - 60, 2)
        ids[target : target + length] = ids[source : source + length]
    ids[random.random(size) < 0.01] = 1
    if line_mode:
        ids[random.random(size) < 0.01] = 0
    ids[0] = 0
    return ids.astype(np.int32)


class SlowMatches:
    """The last position after each gram in dictionaries, one for each length."""

    def __init__(self):
        self.history, self.after = [], {SHORT: {}, LONG: {}}
        self.forget()

    def forget(self):
        self.read, self.position, self.length = [], None, 0

    def prediction(self):
        if self.position is None or self.position >= len(self.history):
            return -1
        return self.history[self.position]

    def gram(self, size):
        shift = 8 if size == SHORT else 3
        return sum((x + 1) * (MIX << shift) ** (k + 1) for k, x in enumerate(reversed(self.read[-size:]))) % 2**64

    def follow(self, symbol, kept):
        if kept:
            self.history.append(symbol)
        if symbol == 0:
            self.forget()
            return
        if self.position is not None:
            if self.history[self.position] == symbol:
                self.length += 1
            elif self.length >= SHORT:
                self.length = 0
            else:
                self.position, self.length = None, 0
        if self.position is not None:
            self.position += 1
        self.read.append(symbol)
        for size in (LONG, SHORT):
            if len(self.read) < size:
                continue
            gram = self.gram(size)
            if (self.position is None or self.length < SHORT) and gram in self.after[size]:
                self.position, self.length = self.after[size][gram], size
            if kept:
                self.after[size][gram] = len(self.history)
        if self.position is not None and self.position >= len(self.history):
            self.position = None


@pytest.mark.parametrize("line_mode", [False, True])
def test_predictions_are_those_of_dictionaries(line_mode, monkeypatch):
    monkeypatch.setattr("rnn_cli.language.matches.LEAST_SLOTS", 1 << 24)  # so that hashes do not share a slot
    whole = repetitive(1, 1300, line_mode)
    text, other = whole[:1000], whole[900:]
    other[0] = 0
    slow = SlowMatches()
    for symbol in text.tolist():
        slow.follow(symbol, True)
    slow.forget()
    slow.follow(0, False)
    expected = []
    for symbol in other[1:].tolist():
        expected.append(slow.prediction())
        slow.follow(symbol, False)
    model = NgramModel.of(text, V, line_mode, 3)
    model.matches = MatchModel.of(text)
    buckets, predicted = model.predictions(other)
    allowed = [-1 if symbol == 0 and not line_mode else symbol for symbol in expected]
    assert predicted.tolist() == allowed
    assert (predicted == other[1:]).mean() > 0.3
    assert ((buckets >= 0) == (predicted >= 0)).all()


@pytest.mark.parametrize("line_mode", [False, True])
def test_a_history_that_grows_is_that_of_the_whole_text(line_mode):
    text = repetitive(2, 900, line_mode)
    slow, expected = SlowMatches(), []
    for symbol in text.tolist():
        expected.append(slow.prediction())
        slow.follow(symbol, True)
    mixture = with_room(NgramModel.of(text[:2], V, True, 3).mixture(1, 16, counting=True), len(text))
    buckets, predicted = np.zeros(len(text), np.int64), np.zeros(len(text), np.int64)
    score_matches(mixture, text, buckets, predicted)
    assert predicted.tolist() == expected


def test_fitted_shares_follow_how_often_a_match_is_right():
    model = MatchModel.of(repetitive(3, 100, False))
    random = np.random.default_rng(1)
    buckets = np.repeat([-1, 5, 90], 4000)
    right = (random.random(12_000) < 0.9) & (buckets == 90)
    before = np.full(12_000, 0.1)
    found = model.fit(before, buckets, right)
    assert model.shares[90] == pytest.approx((right[8000:].mean() - 0.1) / 0.9, abs=0.01)
    assert model.shares[5] < 0.01
    assert (found[:4000] == 0.1).all()
    assert -np.log(found[8000:]).mean() < -np.log(before[8000:]).mean()


def test_the_file_holds_the_same_text():
    model = MatchModel.of(repetitive(3, 100, False))
    again = MatchModel.from_tensors(model.to_tensors(), V)
    assert np.array_equal(again.text, model.text)
    assert np.array_equal(again.shares, model.shares)
    assert MatchModel.from_tensors({}, V) is None


SOUND = {"text": np.array([1, 2, 3], np.uint8), "match_shares": first_shares()}


@pytest.mark.parametrize(
    "damaged",
    [
        {"text": np.array([1, V], np.uint8)},
        {"text": np.array([1, 2], np.int64)},
        {"text": np.ones((2, 2), np.uint8)},
        {"text": None},
        {"match_shares": None},
        {"match_shares": np.ones(BUCKETS)},
        {"match_shares": np.full(BUCKETS, -0.1)},
        {"match_shares": np.full(BUCKETS - 1, 0.5)},
        {"match_shares": np.full(BUCKETS, 0.5, np.float32)},
        {"match_shares": np.full(BUCKETS, np.nan)},
    ],
)
def test_damaged_tensors_of_matches_are_refused(damaged):
    tensors = {name: tensor for name, tensor in (SOUND | damaged).items() if tensor is not None}
    with pytest.raises(CheckpointError, match="matches"):
        MatchModel.from_tensors(tensors, V)
