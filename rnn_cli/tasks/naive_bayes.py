"""Naive Bayes beside a classifier: what was counted for each label, and its weights in the answer.

With c(l, g) how often gram g of n symbols occurs in the texts of label l, N(l) the sum of it over the V grams of n
symbols, and a the smoothing, the log likelihood of the m known grams of n symbols in a text x is

    S_n(l) = sum over g of log((c(l, g) + a) / (N(l) + a V)) / sqrt(m)

Grams of one text overlap, so their sum would be far too certain; the root makes it less so. The answer is

    p(l | x) ~ exp(w_0 log p_network(l | x) + w_1 S_1(l) + w_2 S_2(l) + ...)

The weights and the smoothing are those with which held-out texts, which were not counted, cost least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.text.naive_bayes import NO_KEY, FeatureTable, add_values, fill_slots, hash_grams
from rnn_cli.kernels.threads import Team
from rnn_cli.tasks.whole_texts import LEAST_PROBABILITY, Texts

ORDERS = 6  # symbols of the longest grams
MOST_COUNTED = 4_000_000  # symbols: the counting takes some seconds, and up to 30 bytes each
MOST_KEPT = 1_000_000  # grams, about 8 bytes each in the file
MOST_LABELS = 1 << 16
HIGHEST_WEIGHT = 1e6
MOST_COUNT = np.iinfo(np.uint16).max  # a higher one is cut
SMOOTHINGS = (0.03, 0.1, 0.3, 1.0)
AT_A_TIME = 4_000_000  # sums
RIDGE = 0.1  # nats of all held-out texts, for the square of a weight's distance from the network alone
ROUNDS, HALVINGS = 20, 10  # of Newton's method, and of a step of it that went too far
ENOUGH = 1e-4  # nats of all held-out texts that a round has to save for another one to follow


@dataclass(frozen=True)
class NaiveBayes:
    """Counts of grams for each label.

    sizes      (orders,)      how many grams of each order there are; a gram's number follows their order
    keys       (grams,)       uint32, their hashes
    entries    (grams,)       uint16, for how many labels each was counted
    labels     (entries,)     uint16
    counts     (entries,)     uint16
    smoothing                 a in the equation
    weights    (1 + orders,)  of the network, and of the grams of each order
    label_count               how many labels there are
    """

    sizes: np.ndarray
    keys: np.ndarray
    entries: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    smoothing: float
    weights: np.ndarray
    label_count: int

    @classmethod
    def of(cls, texts: Texts, labels: np.ndarray, label_count: int, most: int = MOST_KEPT) -> NaiveBayes:
        """Count the grams of texts with these labels; of many texts, those of the first MOST_COUNTED symbols.

        Of more than `most` grams, those that were counted most often are kept.
        """
        texts = texts.take(np.arange(max(1, int(np.searchsorted(texts.starts, MOST_COUNTED, "right")) - 1)))
        keys, starts = keys_of(texts)
        labels = np.repeat(labels[: texts.text_count], np.diff(starts)).astype(np.uint64)
        found = [Counted.of(order, labels) for order in keys]
        least = 1
        while sum(int(np.count_nonzero(order.totals >= least)) for order in found) > most:
            least += 1  # a gram has no higher count than the shorter ones in it
        kept = [order.tensors(least) for order in found]
        sizes = np.array([len(order[0]) for order in kept], np.int64)
        keys, entries, labels, counts = (np.concatenate(parts) for parts in zip(*kept))
        return cls(sizes, keys, entries, labels, counts, SMOOTHINGS[1], np.eye(1, 1 + ORDERS)[0], label_count)

    def fit(self, texts: Texts, labels: np.ndarray, probabilities: np.ndarray, team: Team) -> tuple[NaiveBayes, float]:
        """Return the model with the best smoothing and weights, and the nats per text of the answers with them.

        `texts` have these labels, and the network gives them these `probabilities` (texts, labels).
        """
        best, least = self, np.inf
        for smoothing in SMOOTHINGS:
            model = replace(self, smoothing=smoothing)
            weights, loss = fit_weights(model.evidence(texts, probabilities, team), labels)
            if loss < least:
                best, least = replace(model, weights=weights), loss
        return best, least

    def mixed(self, texts: Texts, probabilities: np.ndarray, team: Team) -> np.ndarray:
        """Return the probabilities (texts, labels) of both together, from those of the network."""
        answers = np.empty_like(probabilities)
        most = max(1, AT_A_TIME // (len(self.weights) * self.label_count))
        for first in range(0, len(answers), most):
            chosen = np.arange(first, min(first + most, len(answers)))
            evidence = self.evidence(texts.take(chosen), probabilities[chosen], team)
            answers[chosen] = softmax(np.einsum("j,njl->nl", self.weights, evidence))
        return np.maximum(answers, LEAST_PROBABILITY)

    def evidence(self, texts: Texts, probabilities: np.ndarray, team: Team) -> np.ndarray:
        """Return what has a weight each: (texts, 1 + orders, labels), float64."""
        keys, starts = keys_of(texts)
        sums = np.zeros((texts.text_count, len(self.sizes), self.label_count + 1), np.float32)
        team.run(add_values, self.table, keys, starts, sums)
        known = sums[:, :, -1:].astype(np.float64)
        likelihoods = (sums[:, :, :-1] + known * self.unseen) / np.sqrt(np.maximum(known, 1))
        return np.concatenate([np.log(probabilities)[:, None], likelihoods], axis=1)

    @cached_property
    def table(self) -> FeatureTable:
        """What the kernel looks up; a value is log((c + a) / a)."""
        slots = np.full(1 << (2 * len(self.keys)).bit_length(), -1, np.int32)
        fill_slots(slots, self.keys)
        values = np.log1p(self.counts / self.smoothing).astype(np.float32)
        return FeatureTable(slots, self.keys, self.firsts, self.labels, values)

    @cached_property
    def firsts(self) -> np.ndarray:
        """The first entry of each gram, and the number of entries."""
        return np.append(0, np.cumsum(self.entries, dtype=np.int64))

    @cached_property
    def unseen(self) -> np.ndarray:
        """log(a / (N + a V)) of each order and label: (orders, labels)."""
        firsts = self.firsts[np.append(0, np.cumsum(self.sizes))]
        totals = np.zeros((len(self.sizes), self.label_count))
        for order, (first, last) in enumerate(pairwise(firsts)):
            totals[order] = np.bincount(self.labels[first:last], self.counts[first:last], self.label_count)
        return np.log(self.smoothing) - np.log(totals + self.smoothing * np.maximum(self.sizes, 1)[:, None])

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the tensors of the file."""
        return {
            "gram_sizes": self.sizes,
            "gram_keys": self.keys.view(np.uint16),  # their halves: the file has no uint32
            "gram_entries": self.entries,
            "gram_labels": self.labels,
            "gram_counts": self.counts,
            "gram_weights": np.append(self.smoothing, self.weights),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], label_count: int) -> NaiveBayes:
        """Return the model in the tensors of a file. Raises CheckpointError if they do not fit together."""
        try:
            sizes, keys, entries, labels, counts, weights = (tensors[f"gram_{name}"] for name in KINDS)
        except KeyError as problem:
            raise CheckpointError(f"the counts of its grams are damaged ({problem} is missing)") from problem
        kinds = {name: tensors[f"gram_{name}"].dtype for name in KINDS}
        if kinds != KINDS or any(each.ndim != 1 for each in (sizes, keys, entries, labels, counts, weights)):
            raise CheckpointError("the counts of its grams are damaged (their types)")
        fits = (
            len(sizes) == ORDERS
            and (sizes >= 0).all()
            and 2 * sizes.sum() == len(keys) == 2 * len(entries)
            and entries.sum(dtype=np.int64) == len(labels) == len(counts)
            and len(weights) == 2 + ORDERS
        )
        in_range = (counts > 0).all() and (labels < label_count).all() and (np.abs(weights) < HIGHEST_WEIGHT).all()
        if not fits or not in_range or weights[0] < min(SMOOTHINGS):
            raise CheckpointError("the counts of its grams are damaged (their sizes or values)")
        halves, smoothing = keys.copy(), float(weights[0])
        model = cls(sizes, halves.view(np.uint32), entries, labels, counts, smoothing, weights[1:], label_count)
        if len(np.unique(model.keys)) < len(model.keys):
            raise CheckpointError("the counts of its grams are damaged (two have the same key)")
        return model


KINDS = {
    "sizes": np.dtype(np.int64),
    "keys": np.dtype(np.uint16),
    "entries": np.dtype(np.uint16),
    "labels": np.dtype(np.uint16),
    "counts": np.dtype(np.uint16),
    "weights": np.dtype(np.float64),
}


def keys_of(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys (orders, N) of the grams of texts, and where each text begins in N."""
    starts = texts.starts + np.arange(len(texts.starts))
    keys = np.zeros((ORDERS, int(starts[-1])), np.uint32)
    hash_grams(texts.symbols, texts.starts, keys)
    return keys, starts


class Counted(NamedTuple):
    """The grams of one order.

    pairs   (entries,)  uint64, the key of a gram times MOST_LABELS, plus a label; in their order
    counts  (entries,)  how often the gram stands in texts of the label
    firsts  (grams,)    the first entry of each gram
    totals  (grams,)    its count in all texts
    """

    pairs: np.ndarray
    counts: np.ndarray
    firsts: np.ndarray
    totals: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, labels: np.ndarray) -> Counted:
        """Count keys (N,) that stand in texts with labels (N,)."""
        inside = keys != NO_KEY
        pairs, counts = np.unique(keys[inside].astype(np.uint64) * MOST_LABELS + labels[inside], return_counts=True)
        _, firsts = np.unique(pairs // MOST_LABELS, return_index=True)
        return cls(pairs, counts, firsts, np.add.reduceat(counts, firsts) if len(firsts) else counts)

    def tensors(self, least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return keys, numbers of entries, labels and counts of the grams that were counted `least` times in all."""
        entries, kept = np.diff(np.append(self.firsts, len(self.pairs))), self.totals >= least
        inside = np.repeat(kept, entries)
        return (
            (self.pairs[self.firsts[kept]] // MOST_LABELS).astype(np.uint32),
            entries[kept].astype(np.uint16),
            (self.pairs[inside] % MOST_LABELS).astype(np.uint16),
            np.minimum(self.counts[inside], MOST_COUNT).astype(np.uint16),
        )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_weights(evidence: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the weights of evidence (texts, J, labels) with which the labels (texts,) cost least, and nats per text.

    Newton's method on the convex loss sum(-log p) + RIDGE |w - w_0|^2 / 2, where w_0 is the first evidence alone.
    """
    texts, count, _ = evidence.shape
    alone = np.eye(1, count)[0]
    rows, weights = np.arange(texts), alone

    def loss_of(weights: np.ndarray) -> tuple[float, np.ndarray]:
        probabilities = softmax(np.einsum("j,njl->nl", weights, evidence))
        nats = -np.log(np.maximum(probabilities[rows, labels], np.finfo(float).tiny)).sum()
        return float(nats + RIDGE / 2 * ((weights - alone) ** 2).sum()), probabilities

    loss, probabilities = loss_of(weights)
    for _ in range(ROUNDS):
        mean = np.einsum("nl,njl->nj", probabilities, evidence)
        gradient = (mean - evidence[rows, :, labels]).sum(axis=0) + RIDGE * (weights - alone)
        centred = (evidence - mean[:, :, None]) * np.sqrt(probabilities)[:, None]
        flat = centred.transpose(1, 0, 2).reshape(count, -1)
        step = np.linalg.solve(flat @ flat.T + RIDGE * np.eye(count), gradient)
        for _ in range(HALVINGS):
            tried, its = loss_of(weights - step)
            if tried < loss:
                break
            step /= 2
        if loss - tried < ENOUGH:
            break
        loss, probabilities, weights = tried, its, weights - step
    return weights, float(-np.log(np.maximum(probabilities[rows, labels], np.finfo(float).tiny)).mean())
