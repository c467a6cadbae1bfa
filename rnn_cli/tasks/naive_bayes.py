"""Naive Bayes beside a network: what was counted for each answer, and its weights in the choice.

Features come in groups: the grams of one length in a text, or the word before a token. With c(l, f) how often feature f
of group n stands with answer l, N(l) the sum of it over the V features of the group, and a the smoothing, the log
likelihood of the m known features of group n in a text x is

    S_n(l) = sum over f of log((c(l, f) + a) / (N(l) + a V)) / sqrt(m)

Features of one text overlap, so their sum would be far too certain; the root makes it less so. The answer is

    p(l | x) ~ exp(w_0 log p_network(l | x) + w_1 S_1(l) + w_2 S_2(l) + ...)

The weights and the smoothing are those with which held-out texts, which were not counted, cost least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.text.naive_bayes import NO_KEY, FeatureTable, add_values, fill_slots
from rnn_cli.kernels.threads import Team
from rnn_cli.tasks.whole_texts import LEAST_PROBABILITY

MOST_COUNTED = 4_000_000  # features of a group: the counting takes some seconds, and up to 60 bytes each
MOST_KEPT = 1_000_000  # features, about 8 bytes each in the file
MOST_LABELS = 1 << 16
HIGHEST_WEIGHT = 1e6
MOST_COUNT = np.iinfo(np.uint16).max  # a higher one is cut
SMOOTHINGS = (0.03, 0.1, 0.3, 1.0)
AT_A_TIME = 4_000_000  # sums
LEAST_GAIN = 0.01  # of the loss, for which counts are kept
RIDGE = 0.1  # nats of all held-out texts, for the square of a weight's distance from the network alone
ROUNDS, HALVINGS = 20, 10  # of Newton's method, and of a step of it that went too far
ENOUGH = 1e-4  # nats of all held-out texts that a round has to save for another one to follow


class Features(NamedTuple):
    """The features of texts.

    keys   (groups, N)    uint32; NO_KEY stands for none
    starts (texts + 1,)   int64: text number i has those from starts[i] on
    """

    keys: np.ndarray
    starts: np.ndarray

    def part(self, first: int, last: int) -> Features:
        """Return the features of some texts."""
        starts = self.starts[first : last + 1]
        return Features(np.ascontiguousarray(self.keys[:, starts[0] : starts[-1]]), starts - starts[0])


class Judged(NamedTuple):
    """Held-out texts: their features, the right answers (texts,), and the network's probabilities (texts, answers)."""

    features: Features
    labels: np.ndarray
    network: np.ndarray

    def loss(self, probabilities: np.ndarray) -> float:
        """Return the nats per text of the right answers under some probabilities."""
        return float(-np.log(probabilities[np.arange(len(self.labels)), self.labels]).mean())

    def right(self, probabilities: np.ndarray) -> float:
        """Return the share of the texts whose right answer is the most probable one."""
        return float((probabilities.argmax(axis=1) == self.labels).mean())


@dataclass(frozen=True)
class NaiveBayes:
    """Counts of features for each answer, called label.

    sizes      (groups,)      how many features each group has; a feature's number follows their order
    keys       (features,)    uint32, all different
    entries    (features,)    uint16, with how many labels each was counted
    labels     (entries,)     uint16
    counts     (entries,)     uint16
    smoothing                 a in the equation
    weights    (1 + groups,)  of the network, and of each group
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
    def of(cls, features: Features, labels: np.ndarray, label_count: int, most: int = MOST_KEPT) -> NaiveBayes:
        """Count the features of texts with these labels. Of more than `most`, those counted most often are kept."""
        numbers = np.repeat(labels, np.diff(features.starts)).astype(np.uint64)
        found = [Counted.of(group, numbers) for group in features.keys]
        least = 1
        while sum(int(np.count_nonzero(group.totals >= least)) for group in found) > most:
            least += 1
        kept = [group.tensors(least) for group in found]
        sizes = np.array([len(group[0]) for group in kept], np.int64)
        keys, entries, labels, counts = (np.concatenate(parts) for parts in zip(*kept))
        alone = np.eye(1, 1 + len(sizes))[0]
        return cls(sizes, keys, entries, labels, counts, SMOOTHINGS[1], alone, label_count)

    def fit(self, held_out: Judged, team: Team) -> NaiveBayes:
        """Return the model with the smoothing and the weights with which held-out texts cost least."""
        best, least = self, np.inf
        for smoothing in SMOOTHINGS:
            model = replace(self, smoothing=smoothing)
            evidence = model.evidence(held_out.features, held_out.network, team)
            weights, loss = fit_weights(evidence, held_out.labels)
            if loss < least:
                best, least = replace(model, weights=weights), loss
        return best

    def mixed(self, features: Features, network: np.ndarray, team: Team) -> np.ndarray:
        """Return the probabilities (texts, labels) of both together, from those of the network."""
        answers = np.empty_like(network)
        most = max(1, AT_A_TIME // (len(self.weights) * self.label_count))
        for first in range(0, len(answers), most):
            last = min(first + most, len(answers))
            evidence = self.evidence(features.part(first, last), network[first:last], team)
            answers[first:last] = softmax(np.einsum("j,njl->nl", self.weights, evidence))
        return np.maximum(answers, LEAST_PROBABILITY)

    def evidence(self, features: Features, network: np.ndarray, team: Team) -> np.ndarray:
        """Return what has a weight each: (texts, 1 + groups, labels), float64."""
        sums = np.zeros((len(network), len(self.sizes), self.label_count + 1), np.float32)
        team.run(add_values, self.table, *features, sums)
        known = sums[:, :, -1:].astype(np.float64)
        likelihoods = (sums[:, :, :-1] + known * self.unseen) / np.sqrt(np.maximum(known, 1))
        return np.concatenate([np.log(network)[:, None], likelihoods], axis=1)

    @cached_property
    def table(self) -> FeatureTable:
        """What the kernel looks up; a value is log((c + a) / a)."""
        slots = np.full(1 << (2 * len(self.keys)).bit_length(), -1, np.int32)
        fill_slots(slots, self.keys)
        values = np.log1p(self.counts / self.smoothing).astype(np.float32)
        return FeatureTable(slots, self.keys, self.firsts, self.labels, values)

    @cached_property
    def firsts(self) -> np.ndarray:
        """The first entry of each feature, and the number of entries."""
        return np.append(0, np.cumsum(self.entries, dtype=np.int64))

    @cached_property
    def unseen(self) -> np.ndarray:
        """log(a / (N + a V)) of each group and label: (groups, labels)."""
        firsts = self.firsts[np.append(0, np.cumsum(self.sizes))]
        totals = np.zeros((len(self.sizes), self.label_count))
        for group, (first, last) in enumerate(pairwise(firsts)):
            totals[group] = np.bincount(self.labels[first:last], self.counts[first:last], self.label_count)
        return np.log(self.smoothing) - np.log(totals + self.smoothing * np.maximum(self.sizes, 1)[:, None])

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the tensors of the file."""
        return {
            "feature_sizes": self.sizes,
            "feature_keys": self.keys.view(np.uint16),  # their halves: the file has no uint32
            "feature_entries": self.entries,
            "feature_labels": self.labels,
            "feature_counts": self.counts,
            "feature_weights": np.append(self.smoothing, self.weights),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], groups: int, label_count: int) -> NaiveBayes:
        """Return the model of some groups and labels in the tensors of a file. Raises CheckpointError for others."""
        try:
            sizes, keys, entries, labels, counts, weights = (tensors[f"feature_{name}"] for name in KINDS)
        except KeyError as problem:
            raise CheckpointError(f"the counts of its features are damaged ({problem} is missing)") from problem
        kinds = {name: tensors[f"feature_{name}"].dtype for name in KINDS}
        if kinds != KINDS or any(each.ndim != 1 for each in (sizes, keys, entries, labels, counts, weights)):
            raise CheckpointError("the counts of its features are damaged (their types)")
        fits = (
            len(sizes) == groups
            and (sizes >= 0).all()
            and 2 * sizes.sum() == len(keys) == 2 * len(entries)
            and entries.sum(dtype=np.int64) == len(labels) == len(counts)
            and len(weights) == 2 + groups
        )
        in_range = (counts > 0).all() and (labels < label_count).all() and (np.abs(weights) < HIGHEST_WEIGHT).all()
        if not fits or not in_range or weights[0] < min(SMOOTHINGS):
            raise CheckpointError("the counts of its features are damaged (their sizes or values)")
        halves, smoothing = keys.copy(), float(weights[0])
        model = cls(sizes, halves.view(np.uint32), entries, labels, counts, smoothing, weights[1:], label_count)
        if len(np.unique(model.keys)) < len(model.keys):
            raise CheckpointError("the counts of its features are damaged (two have the same key)")
        return model


KINDS = {
    "sizes": np.dtype(np.int64),
    "keys": np.dtype(np.uint16),
    "entries": np.dtype(np.uint16),
    "labels": np.dtype(np.uint16),
    "counts": np.dtype(np.uint16),
    "weights": np.dtype(np.float64),
}


def texts_to_count(lengths: Sequence[int], most: int = MOST_COUNTED) -> np.ndarray:
    """Return the numbers of the texts to count; of more than `most` features every second, third, ... text.

    So all parts of a file count that is sorted by its labels.
    """
    return np.arange(0, len(lengths), max(1, -(-sum(lengths) // most)))


def counts_of(checkpoint: Checkpoint, groups: int, label_count: int) -> NaiveBayes | None:
    """Return the counts of a checkpoint, None if it has none. Raises CheckpointError if they are damaged."""
    return NaiveBayes.from_tensors(checkpoint.counts, groups, label_count) if checkpoint.counts else None


def counts_that_pay(model: NaiveBayes, held_out: Judged, team: Team, unit: str) -> Completion:
    """Fit counts beside a network, and say what that gained; they are left out if it is too little."""
    model = model.fit(held_out, team)
    both = model.mixed(held_out.features, held_out.network, team)
    alone, loss = held_out.loss(held_out.network), held_out.loss(both)
    record = {"network_loss": alone, "loss": loss, "order": len(model.sizes)}
    by_chance = len(model.weights) / len(both)  # nats per text, by Akaike's information criterion
    if loss > alone - LEAST_GAIN * alone - by_chance:
        return Completion({}, record, ["counts beside the network would not lower that, and are left out"])
    tensors = model.to_tensors()
    size = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
    right = f"{held_out.right(held_out.network):.1%} -> {held_out.right(both):.1%} right"
    bits = f"{alone * BITS_PER_NAT:.3f} -> {loss * BITS_PER_NAT:.3f} bits per {unit}"
    return Completion(tensors, record, [f"with naive Bayes beside it {right}, {bits}; its counts take {size:.1f} MB"])


class Completion(NamedTuple):
    """What the counts add to a checkpoint: tensors, none if they do not pay, the record, and remarks."""

    tensors: dict[str, np.ndarray]
    record: dict[str, Any]
    remarks: list[str]


class Counted(NamedTuple):
    """The features of one group.

    pairs   (entries,)   uint64, the key of a feature times MOST_LABELS, plus a label; in their order
    counts  (entries,)   how often the feature stands in texts of the label
    firsts  (features,)  the first entry of each feature
    totals  (features,)  its count in all texts
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
        """Return keys, numbers of entries, labels and counts of the features that were counted `least` times in all."""
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
