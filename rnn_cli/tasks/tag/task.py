"""Tagging as a task: read a sentence as characters, and answer at the last character of each token."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from rnn_cli.bits import BITS_PER_NAT
from rnn_cli.checkpoint.checkpoint import TAG, Checkpoint
from rnn_cli.errors import CheckpointError, UsageError
from rnn_cli.kernels.threads import Team
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.network.workspace import IGNORED
from rnn_cli.tasks.naive_bayes import Features, Judged, NaiveBayes, counts_that_pay, texts_to_count
from rnn_cli.tasks.tag.alphabet import Alphabet, texts_of
from rnn_cli.tasks.tag.bio import is_bio
from rnn_cli.tasks.tag.hidden import HidingBatches
from rnn_cli.tasks.tag.scores import accuracy_of, baseline_tags, span_scores
from rnn_cli.tasks.tag.sentences import Sentence, most_frequent_tags, tag_list, token_count
from rnn_cli.tasks.tag.tagger import Tagger, description_of, features_of
from rnn_cli.tasks.whole_texts import LONGEST, WholeTextBatches
from rnn_cli.training.config import TrainingConfig
from rnn_cli.training.run_state import Report
from rnn_cli.training.task import Task

HIDDEN = 0.05  # share of the characters that a step reads as the unknown one
MOST_SCORED = 2000  # held-out sentences that are tagged in an evaluation
MOST_FITTED = 200_000  # answers to held-out tokens that the weights of counts are fitted on
MOST_KNOWN = 50_000  # tokens in the file, the most frequent ones
BYTES_PER_CHARACTER = 40  # of tokens, tags, symbols, targets and what an epoch arranges


class TagTask(Task):
    """Tagged sentences, and the network that learns to tag them. The best model is that with the best tags."""

    name = TAG
    unit = "token"

    def __init__(
        self,
        name: str,
        training: Sequence[Sentence],
        validation: Sequence[Sentence] = (),
        network: NetworkConfig | None = None,
        alphabet: Alphabet | None = None,
        column: str | None = None,
    ) -> None:
        """Take sentences to train on and to hold out. `name` is what messages call them.

        `column` is the column of CoNLL-U that the tags come from, None for other files.

        Raises UsageError if there is one tag only, or the network is for other symbols or tags.
        """
        self.data_name, self.training, self.validation, self.column = name, training, validation, column
        self.tags = tag_list(training, name)
        self.alphabet = alphabet or Alphabet.of_texts(sentence.text for sentence in training)
        symbols, tags = len(self.alphabet), len(self.tags)
        self.network = network or NetworkConfig(input_size=symbols, output_size=tags, directions=2)
        if (self.network.input_size, self.network.output_size) != (symbols, tags):
            raise UsageError(f"{name} has {len(self.alphabet):,} symbols and {len(self.tags):,} tags; set both sizes")
        self.bio = is_bio(self.tags)
        self.blind_loss = math.log(len(self.tags))
        self._tagger: Tagger | None = None

    def batches(self, config: TrainingConfig) -> HidingBatches:
        """Return the sentences to train on, packed into rows, with some of their characters hidden."""
        batches = self._packed(self.training, config, config.random_seed)
        return HidingBatches(batches, HIDDEN, self.alphabet.unknown, config.random_seed)

    def validation_batches(self, config: TrainingConfig) -> WholeTextBatches | None:
        """Return the held-out sentences."""
        return self._packed(self.validation, config, None) if self.validation else None

    def _packed(self, sentences: Sequence[Sentence], config: TrainingConfig, seed: int | None) -> WholeTextBatches:
        """Return sentences in rows of `sequence_length` characters; longer ones are cut between tokens."""
        index = {tag: number for number, tag in enumerate(self.tags)}
        targets = [[index.get(tag, IGNORED) for tag in sentence.tags] for sentence in sentences]
        tokens = [sentence.tokens for sentence in sentences]
        texts = texts_of(self.alphabet, tokens, config.sequence_length, targets)
        return WholeTextBatches(texts, config.batch_size, config.sequence_length, seed)

    def describe(self) -> dict[str, Any]:
        """Return the codec, the tags, and the tokens of the training part by their most frequent tag."""
        lexicon: dict[str, list[str]] = {}
        for token, tag in islice(self.lexicon.items(), MOST_KNOWN):
            lexicon.setdefault(tag, []).append(token)
        return {
            "name": self.name,
            "codec": self.alphabet.codec.to_dict(),
            "tags": self.tags,
            "column": self.column,
            "lexicon": {tag: "\n".join(tokens) for tag, tokens in lexicon.items()},
        }

    @cached_property
    def scored(self) -> int:
        """The number of tokens to train on."""
        return token_count(self.training)

    @cached_property
    def lexicon(self) -> dict[str, str]:
        """The most frequent tag of each token of the training part."""
        return most_frequent_tags(self.training)

    def record(self, config: TrainingConfig) -> dict[str, Any]:
        """Return what the data are."""
        return {
            "corpus": {
                "name": self.data_name,
                "digest": self.digest,
                "sentences": len(self.training),
                "tokens": self.scored,
                "validation_sentences": len(self.validation),
                "validation_tokens": token_count(self.validation),
            }
        }

    @cached_property
    def digest(self) -> str:
        """The digest of all sentences and tags, in their order."""
        digest = hashlib.sha256()
        for part in (self.training, self.validation):
            digest.update(json.dumps([[sentence.tokens, sentence.tags] for sentence in part]).encode())
        return digest.hexdigest()

    def resumed(self, checkpoint: Checkpoint) -> TagTask:
        """Return the task with the network and the alphabet of a checkpoint. Raises UsageError for other sentences."""
        alphabet, tags = description_of(checkpoint)
        if self.digest != checkpoint.record.get("corpus", {}).get("digest"):
            raise UsageError(f"{self.data_name} is not what this model was trained on; give the same files")
        if tags != self.tags:
            raise CheckpointError("the tags of this model are not those of its data; train it again")
        network = checkpoint.config
        return TagTask(self.data_name, self.training, self.validation, network, alphabet, self.column)

    def data_bytes(self, config: TrainingConfig) -> int:
        """Return about how many bytes the sentences take."""
        return BYTES_PER_CHARACTER * sum(len(sentence.text) for sentence in (*self.training, *self.validation))

    def score(self, model: Model, team: Team) -> float | None:
        """Return the F1 of the held-out spans if the tags are those of BIO, else the accuracy of the held-out tags."""
        if not self.validation:
            return None
        if self._tagger is None or self._tagger.model is not model:
            self._tagger = Tagger(model, self.alphabet, self.tags, team)
        self._tagger.changed()
        part = self.validation[:MOST_SCORED]
        return self._figure(self._tagger.tag([sentence.tokens for sentence in part]))

    def complete(self, checkpoint: Checkpoint, team: Team) -> None:
        """Add the counts of features of tokens beside the network, if they pay on the held-out sentences."""
        if not self.validation or not checkpoint.record["training"]["counts"]:
            return
        judged, tokens = [], 0
        for sentence in self.validation:
            if tokens < MOST_FITTED // len(self.tags):
                judged.append(sentence)
                tokens += len(sentence.tokens)
        tagger = Tagger.of_checkpoint(checkpoint, team.threads)
        try:
            network = np.concatenate(tagger.probabilities([sentence.tokens for sentence in judged]))
        except CheckpointError:  # the outputs are not finite on a longer sentence than was validated
            return
        features, tags = self._counted(judged)
        known = tags >= 0
        if not known.any():
            return
        held_out = Judged(Features(features.keys[:, known], np.arange(known.sum() + 1)), tags[known], network[known])
        chosen = texts_to_count([len(sentence.tokens) for sentence in self.training])
        counts = NaiveBayes.of(*self._counted([self.training[number] for number in chosen]), len(self.tags))
        found = counts_that_pay(counts, held_out, team, self.unit)
        checkpoint.counts, checkpoint.record["mixture"], self.remarks = found

    def _counted(self, sentences: Sequence[Sentence]) -> tuple[Features, np.ndarray]:
        """Return the features of the tokens of sentences, and their tags as numbers, -1 for an unknown one."""
        index = {tag: number for number, tag in enumerate(self.tags)}
        texts = texts_of(self.alphabet, [sentence.tokens for sentence in sentences], LONGEST)
        tags = [index.get(tag, IGNORED) for sentence in sentences for tag in sentence.tags]
        return features_of(texts), np.array(tags, np.int64)

    def _figure(self, found: Sequence[Sequence[str]]) -> float:
        actual = [sentence.tags for sentence, _ in zip(self.validation, found)]
        return span_scores(actual, found).f1 if self.bio else accuracy_of(actual, found)

    def report_to_dict(self, report: Report) -> dict[str, Any]:
        """Return a report as the log and the history have it, JSON-ready: with the losses in bits, too."""
        return report.in_bits("token", self._score_name)

    def report_from_dict(self, values: dict[str, Any]) -> Report:
        """Return the report that `report_to_dict` wrote. Raises KeyError, TypeError or UsageError if it is damaged."""
        return Report.from_bits(values, "token", self._score_name)

    @property
    def _score_name(self) -> str:
        return "f1" if self.bio else "accuracy"

    def figures(self, loss: float, score: float | None) -> str:
        """Return how good the best model is on the held-out part, and how good the baseline."""
        part = self.validation[:MOST_SCORED]
        baseline = self._figure([baseline_tags(self.lexicon, self.tags[0], sentence.tokens) for sentence in part])
        bits = f"{loss * BITS_PER_NAT:.3f} bits per {self.unit}"
        if score is None:
            return bits
        if self.bio:
            return f"F1 of the spans {score:.1%}; of the most frequent tag of each token {baseline:.1%}; {bits}"
        return f"{score:.1%} of the tags right; the most frequent tag of each token would be {baseline:.1%}; {bits}"
