"""The n-gram model beside a network: its counts, its weight in the mixture, and how the model file holds them.

Its probabilities are those of kernels/text/counts.py, and the mixture is that of kernels/text/mixture.py. The file
holds the tree level by level: the children of a node lie together, in the order of their symbols, so that the numbers
of children say where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.simd.aligned import aligned_zeros
from rnn_cli.kernels.simd.cpu import VECTOR_BYTES
from rnn_cli.kernels.text.counts import (
    SPREAD,
    Tree,
    count_symbols,
    level_order,
    link,
    score_counts,
)
from rnn_cli.kernels.text.matches import TRACKED
from rnn_cli.kernels.text.mixture import KINDS, MOST_WEIGHT, SUMS, USUAL_CURVATURE, Mixture, score_matches
from rnn_cli.language.matches import MatchModel, no_matches, with_history
from rnn_cli.text.codecs import Codec
from rnn_cli.text.corpus import Corpus
from rnn_cli.text.excerpts import spread

CHARACTERS_ORDER, WORDS_ORDER = 8, 5
LINES_ORDER = 6  # names.txt, a development split, one network and six: 1.9031, 1.8902 nats; order 8: 1.9048, 1.8913
LONGEST_ORDER = 16
# An English dictionary of 29 million characters, the counts alone, in bits: 6 million of them counted to order 7 1.931,
# 12 million 1.887, to order 8 1.860; all to order 7 1.832, to order 8 1.792, without the longest grams seen once 1.805.
MOST_COUNTED = 24_000_000  # symbols, which take about 15 seconds, and up to 25 bytes each at the end of a run
MOST_WORDS = 6_000_000  # that are counted
COUNTED_TOGETHER = 50_000  # symbols of a piece of a long text
MOST_NODES = 1 << 25  # while counting, 16 bytes each
MOST_KEPT = 10_000_000  # nodes in the file, about 3 bytes each, before grams counted once are left out
DEFAULT_WEIGHTS = 0.65, 0.3  # of the network and of the n-gram model, if no text is held out
MOST_SYMBOLS = 1 << 16
MOST = np.iinfo(np.int32).max
WIDE = 255  # in an array of bytes: the value is in the next array
NOTHING_READ = np.array([0] + [-1] * (LONGEST_ORDER + TRACKED - 1), np.int32)  # contexts in the middle of a text


@dataclass
class NgramModel:
    """A tree of counts, and its weight in the mixture for each kind of certainty (mixture.py).

    `matches` has the text that the longest match is looked for in, if there is one.
    """

    tree: Tree
    matches: MatchModel | None = None

    @classmethod
    def of(cls, ids: np.ndarray, size: int, boundary: bool, order: int) -> NgramModel:
        """Count the grams of up to `order` of `size` symbols in a text that begins with a boundary.

        `boundary` says whether the boundary is a symbol that may follow, as the end of a line.
        """
        tree = empty_tree(size, boundary, order, min(size + 1 + order * len(ids), MOST_NODES))
        count_symbols(tree, contexts_for(1, order, begun=True), np.asarray(ids[1:], np.int32), boundary)
        return cls(tree)

    @classmethod
    def of_corpus(cls, corpus: Corpus) -> NgramModel:
        """Count the training part; of a long one some symbols in pieces from all parts of it."""
        codec = corpus.codec
        order = LINES_ORDER if codec.line_mode and codec.ends_at_newline else CHARACTERS_ORDER
        if codec.unit == "word":
            order = WORDS_ORDER
        ids = spread(corpus.training, most_counted(codec), COUNTED_TOGETHER, codec.line_mode)
        return cls.of(ids, len(codec), codec.line_mode, order)

    @property
    def order(self) -> int:
        """The number of symbols of the longest grams."""
        return len(self.tree.spread)

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Return the probability of each symbol after the first."""
        found = np.zeros(len(ids) - 1)
        scratch = aligned_zeros(padded(self.tree.size), np.float32)
        contexts = contexts_for(1, self.order, begun=True)
        score_counts(self.tree, contexts, np.asarray(ids[1:], np.int32), scratch, found)
        return found

    def symbol_shares(self) -> np.ndarray:
        """Return about how often each symbol occurs in the text, as a share of all; no share is 0."""
        tree, used = self.tree, int(self.tree.used[0])
        counts = np.where(tree.children[1:used] == 0, tree.counts[1:used], 0)  # the longest grams tell occurrences
        shares = np.bincount(tree.symbols[1:used], counts, tree.size) + 0.5
        return shares / shares.sum()

    def predictions(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bucket of the match and the symbol that it predicts in place of each after the first, or -1."""
        buckets, predicted = np.zeros(len(ids) - 1, np.int64), np.zeros(len(ids) - 1, np.int64)
        mixture = self.mixture(1, padded(self.tree.size))
        mixture.contexts[0] = NOTHING_READ[: mixture.contexts.shape[1]]
        mixture.contexts[0, : self.order] = contexts_for(1, self.order, begun=True)
        score_matches(mixture, np.asarray(ids[1:], np.int32), buckets, predicted)
        return np.where(predicted >= 0, buckets, -1), predicted

    def mixture(self, rows: int, columns: int, counting: bool = False, fitted: bool = False) -> Mixture:
        """Return what kernels read of it beside `rows` of a network. If it goes on `counting`, it does so in a copy.

        If its weights are to be `fitted`, it keeps the sums for that.
        """
        tree = self.tree
        if counting:
            tree = Tree._make(part.copy() if isinstance(part, np.ndarray) else part for part in tree)
        scratch, model = aligned_zeros(2 * rows * columns, np.float32), self.matches
        if model is None and counting:
            model = MatchModel.of(np.zeros(0, np.int32))
        matches = model.matches(rows, counting) if model else no_matches()
        contexts = contexts_for(rows, self.order + (TRACKED if model else 0))
        sums = np.zeros((rows if fitted else 0, KINDS, SUMS))
        return Mixture(tree, contexts, scratch, np.zeros(rows, np.int32), sums, int(counting), matches)

    def to_tensors(self, most: int = MOST_KEPT) -> dict[str, np.ndarray]:
        """Return the tensors of the file; of more than `most` nodes, without the longest grams counted once."""
        tree = self.tree
        nodes, children = np.zeros(int(tree.used[0]), np.int32), np.zeros(int(tree.used[0]), np.int32)
        kept, inner = level_order(tree, self.order, 1 + (len(nodes) > most), nodes, children)
        nodes, inner = nodes[:kept], children[:inner]
        symbols = tree.symbols[nodes[1 + tree.size :]].astype(symbol_type(tree.size))
        tensors = {"symbols": symbols, "spread": tree.spread.copy(), "weights": tree.weights[:, :2].copy()}
        for name, values in (("children", inner), ("counts", tree.counts[nodes[1:]])):
            tensors[name] = np.minimum(values, WIDE).astype(np.uint8)
            tensors[f"wide_{name}"] = values[values >= WIDE].astype(np.int64)
        if self.matches:
            tensors |= self.matches.to_tensors()
        return {name: tensor for name, tensor in tensors.items() if tensor.size}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], size: int, boundary: bool) -> NgramModel:
        """Return the model in the tensors of a file. Raises CheckpointError if they do not fit together."""
        try:
            return cls(read_tree(tensors, size, boundary))
        except (KeyError, ValueError) as problem:
            raise CheckpointError(f"the n-gram counts are damaged ({problem})") from problem


def most_counted(codec: Codec) -> int:
    """Return how many symbols of a text are counted at most."""
    return MOST_WORDS if codec.unit == "word" else MOST_COUNTED


def empty_tree(size: int, boundary: bool, order: int, capacity: int) -> Tree:
    """Return a tree that has counted nothing yet, with room for `capacity` nodes."""
    symbols, counts, children, siblings = (np.zeros(capacity, np.int32) for _ in range(4))
    symbols[1 : size + 1] = np.arange(size)
    return Tree(
        symbols,
        counts,
        children,
        siblings,
        np.array([size + 1]),
        np.zeros((order, SPREAD), np.int64),
        np.zeros((order, 3)),
        np.tile([*DEFAULT_WEIGHTS, *USUAL_CURVATURE], (KINDS, 1)),
        size,
        int(boundary),
    )


def with_room(mixture: Mixture, symbols: int) -> Mixture:
    """Return the mixture with room to count some more symbols."""
    tree = with_nodes(mixture.tree, symbols * len(mixture.tree.spread))
    return mixture._replace(tree=tree, matches=with_history(mixture.matches, symbols))


def with_nodes(tree: Tree, nodes: int) -> Tree:
    """Return the tree with room for some more nodes, twice what it has if that is more."""
    used, capacity = int(tree.used[0]), len(tree.symbols)
    if used + nodes <= capacity:
        return tree
    more = max(used + nodes, min(2 * capacity, MOST_NODES)) - capacity
    grown = (np.concatenate([part, np.zeros(more, np.int32)]) for part in tree[:4])
    return Tree._make([*grown, *tree[4:]])


def contexts_for(rows: int, order: int, begun: bool = False) -> np.ndarray:
    """Return the contexts (rows, order) of rows that have read nothing or, if they have `begun`, a boundary."""
    contexts = np.full((rows, order), -1, np.int32)
    if begun:
        contexts[:, :2] = 0, 1
    return contexts


def ngrams_of(checkpoint: Checkpoint) -> NgramModel | None:
    """Return the n-gram model of a language model, None if it has none. Raises CheckpointError if it is damaged."""
    if not checkpoint.counts:
        return None
    size = len(checkpoint.codec)
    model = NgramModel.from_tensors(checkpoint.counts, size, checkpoint.codec.line_mode)
    model.matches = MatchModel.from_tensors(checkpoint.counts, size)
    return model


def mixture_of(
    checkpoint: Checkpoint, rows: int, columns: int, share: float | None = None, counting: bool = False
) -> Mixture:
    """Return the mixture of a checkpoint, with the fitted shares or one; without counts, the network alone."""
    ngrams = None if share == 0 else ngrams_of(checkpoint)
    if ngrams is None:
        return no_mixture(rows)
    if share is not None:
        ngrams.tree.weights[:, :2] = 1 - share, share
        if ngrams.matches:
            ngrams.matches.shares = ngrams.matches.shares.clip(max=share)
    return ngrams.mixture(rows, columns, counting)


def no_mixture(rows: int = 1) -> Mixture:
    """Return the mixture of a network alone."""
    return Mixture(
        empty_tree(1, True, 0, 2),
        np.zeros((rows, 0), np.int32),
        np.zeros(1, np.float32),
        np.zeros(rows, np.int32),
        np.zeros((0, KINDS, SUMS)),
        0,
        no_matches(),
    )


def padded(size: int) -> int:
    """Return a number of columns that is a multiple of the lanes of a vector."""
    lanes = VECTOR_BYTES // 4
    return -(-size // lanes) * lanes


def symbol_type(size: int) -> np.dtype:
    """Return the type of symbols in the file."""
    return np.dtype(np.uint8 if size <= 1 << 8 else np.uint16)


def read_tree(tensors: Mapping[str, np.ndarray], size: int, boundary: bool) -> Tree:
    """Return the tree in the tensors of a file. Raises KeyError or ValueError if they are not those of a tree."""
    spread, symbols = tensors["spread"], tensors["symbols"]
    weights = tensors["weights"] if "weights" in tensors else weights_of_shares(tensors["shares"])
    order = len(spread)
    if not 2 <= order <= LONGEST_ORDER or (spread.shape, spread.dtype) != ((order, SPREAD), np.int64):
        raise ValueError(f"an order of {order}")
    if weights.dtype != np.float64 or weights.shape != (KINDS, 2):
        raise ValueError("the weights")
    if not ((weights >= 0) & (weights <= MOST_WEIGHT)).all():
        raise ValueError("the weights")
    if symbols.dtype != symbol_type(size) or symbols.ndim != 1 or (spread < 0).any():
        raise ValueError("the symbols")
    children, counts = widened(tensors, "children"), widened(tensors, "counts")
    nodes = 1 + size + len(symbols)
    if len(counts) != nodes - 1 or not 0 < len(children) <= nodes or counts.sum(dtype=np.int64) > MOST:
        raise ValueError("the counts")
    tree = empty_tree(size, boundary, order, nodes)
    tree.symbols[1 + size :], tree.counts[1:] = symbols, counts
    tree.used[0] = nodes
    tree.spread[:], tree.weights[:, :2] = spread, weights
    if not link(tree, children):
        raise ValueError("the order of the nodes")
    return tree


def weights_of_shares(shares: np.ndarray) -> np.ndarray:
    """Return the weights in place of the shares in the mean of the probabilities, which earlier versions mixed."""
    return np.stack([1 - shares, shares], axis=-1)


def widened(tensors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return numbers that were stored as bytes, those of WIDE or more in an array of their own."""
    small, wide = tensors[name], tensors.get(f"wide_{name}", np.zeros(0, np.int64))
    if small.dtype != np.uint8 or small.ndim != 1 or wide.dtype != np.int64 or wide.ndim != 1:
        raise ValueError(name)
    places = np.flatnonzero(small == WIDE)
    if len(places) != len(wide) or (len(wide) and not (wide.min() >= WIDE and wide.max() <= np.iinfo(np.int32).max)):
        raise ValueError(f"large {name}")
    values = small.astype(np.int32)
    values[places] = wide
    return values
