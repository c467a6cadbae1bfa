"""The tree of counts against n-grams in dictionaries, and the file that holds it."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.text.counts import count_symbols
from rnn_cli.kernels.text.mixture import KINDS
from rnn_cli.language.ngrams import NgramModel, contexts_for, empty_tree, with_nodes

V = 6


def text_of(seed, size, line_mode):
    random = np.random.default_rng(seed)
    ids = random.integers(1, V, size)
    ids[1:] = np.where(random.random(size - 1) < 0.4, ids[:-1], ids[1:])
    if line_mode:
        ids[random.random(size) < 0.15] = 0
        ids[-1] = 0
    return np.concatenate([[0], ids]).astype(np.int32)


SOUND = NgramModel.of(text_of(3, 3000, True), V, True, 4).to_tensors()


class SlowModel:
    """Modified Kneser-Ney in dictionaries: context -> symbol -> count."""

    def __init__(self, ids, order, line_mode):
        self.order, self.line_mode = order, line_mode
        self.counts = [defaultdict(Counter) for _ in range(order)]
        for i in range(1, len(ids)):
            if ids[i] > 0 or line_mode:
                self.count(self.context(ids, i), int(ids[i]))

    def context(self, ids, i):
        start = max(k for k in range(i) if ids[k] == 0) if 0 in ids[:i] else 0
        return tuple(int(x) for x in ids[max(start, i - self.order + 1) : i])

    def count(self, context, symbol):
        while True:
            seen = self.counts[len(context)][context][symbol]
            self.counts[len(context)][context][symbol] += 1
            if seen or not context:
                return
            context = context[1:]

    def discounts(self, k):
        spread = Counter(times for counter in self.counts[k].values() for times in counter.values())
        n1, n2, n3, n4 = (spread[times] for times in (1, 2, 3, 4))
        share = n1 / max(n1 + 2 * n2, 1)
        if not (n1 and n2 and n3 and n4):
            return [min(max(share, 0.1), 0.95)] * 3
        raw = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
        return [min(max(d, 0.1), limit) for d, limit in zip(raw, (0.95, 1.95, 2.95))]

    def distribution(self, context):
        base = 1 / (V if self.line_mode else V - 1)
        p = dict.fromkeys(range(0 if self.line_mode else 1, V), base)
        for k in range(len(context) + 1):
            counter = self.counts[k].get(context[len(context) - k :])
            if counter:
                discounts = self.discounts(k)
                discount = {symbol: discounts[min(times, 3) - 1] for symbol, times in counter.items()}
                total, held_back = sum(counter.values()), sum(discount.values())
                p = {
                    symbol: (counter[symbol] - discount.get(symbol, 0) + held_back * p[symbol]) / total for symbol in p
                }
        return p


@pytest.mark.parametrize("line_mode", [False, True])
@pytest.mark.parametrize("order", [2, 3, 5])
def test_probabilities_are_those_of_dictionaries(line_mode, order):
    ids, other = text_of(1, 400, line_mode), text_of(2, 60, line_mode)
    slow = SlowModel(ids, order, line_mode)
    found = NgramModel.of(ids, V, line_mode, order).probabilities(other)
    expected = [slow.distribution(slow.context(other, i))[int(other[i])] for i in range(1, len(other))]
    assert found == pytest.approx(expected, rel=1e-5)
    assert sum(slow.distribution(slow.context(other, 20)).values()) == pytest.approx(1)


def test_counts_that_go_on_are_those_of_the_whole_text():
    ids = text_of(8, 500, True)
    end = int(np.flatnonzero(ids[:300] == 0)[-1])
    mixture = NgramModel.of(ids[: end + 1], V, True, 4).mixture(1, 16, counting=True)
    tree = with_nodes(mixture.tree, 4 * len(ids))
    count_symbols(tree, contexts_for(1, 4, begun=True), ids[end + 1 :], True)
    whole = NgramModel.of(ids, V, True, 4)
    assert np.array_equal(NgramModel(tree).probabilities(ids), whole.probabilities(ids))


def test_a_full_tree_counts_what_it_has():
    ids = text_of(9, 800, False)
    tree = empty_tree(V, False, 4, V + 30)
    count_symbols(tree, contexts_for(1, 4, begun=True), ids[1:], False)
    assert tree.used[0] == V + 30
    found = NgramModel(tree).probabilities(text_of(10, 100, False))
    assert np.isfinite(found).all()
    assert found.min() > 0


@pytest.mark.parametrize("seed", range(40))
def test_damaged_counts_are_refused_or_work(seed):
    random = np.random.default_rng(seed)
    tensors = {name: tensor.copy() for name, tensor in SOUND.items()}
    name = sorted(tensors)[seed % len(tensors)]
    flat = tensors[name].reshape(-1)
    if seed % 3 == 0:
        tensors[name] = flat[: random.integers(len(flat))]
    else:
        flat[random.integers(len(flat))] = random.choice([0, 1, 2, 254])
    try:
        model = NgramModel.from_tensors(tensors, V, True)
    except CheckpointError:
        return
    found = model.probabilities(text_of(seed, 60, True))
    assert np.isfinite(found).all()


def test_the_file_holds_the_same_model():
    ids, other = text_of(3, 20_000, True), text_of(4, 100, True)
    model = NgramModel.of(ids, V, True, 4)
    model.tree.weights[:, :2] = np.random.default_rng(1).random((KINDS, 2))
    tensors = model.to_tensors()
    again = NgramModel.from_tensors(tensors, V, True)
    assert np.array_equal(model.probabilities(other), again.probabilities(other))
    assert np.array_equal(model.tree.weights, again.tree.weights)
    assert all(np.array_equal(tensors[name], tensor) for name, tensor in again.to_tensors().items())
    assert tensors["counts"].max() == 255  # so that large counts are tried, too


def test_rare_long_grams_are_left_out_of_a_large_file():
    model = NgramModel.of(text_of(3, 3000, True), V, True, 6)
    whole = model.to_tensors()
    small = model.to_tensors(most=100)
    assert len(small["symbols"]) < len(whole["symbols"])
    again = NgramModel.from_tensors(small, V, True)
    assert again.probabilities(text_of(5, 50, True)).min() > 0
