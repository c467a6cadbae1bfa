"""A trained model tags sentences: many side by side, each as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_cli.checkpoint.checkpoint import TAG, Checkpoint
from rnn_cli.errors import CheckpointError
from rnn_cli.kernels.text.naive_bayes import hash_tokens
from rnn_cli.kernels.threads import Team
from rnn_cli.network.model import Model
from rnn_cli.tasks.naive_bayes import Features, NaiveBayes, counts_of
from rnn_cli.tasks.tag.alphabet import Alphabet, texts_of
from rnn_cli.tasks.tag.bio import allowed_after, best_valid, is_bio, spans_of
from rnn_cli.tasks.tag.sentences import CONLLU_COLUMNS
from rnn_cli.tasks.whole_texts import LONGEST, Reader, Texts
from rnn_cli.text.codecs import CharacterCodec, codec_from_dict

SUFFIXES = 4  # symbols of the longest ends of tokens that are counted
GROUPS = 10 + SUFFIXES  # of features


class Tagger:
    """Tags sentences with a model. Tags of BIO come out valid: of all valid sequences the most probable one.

    The result depends neither on the threads nor on which sentences are tagged together. A sentence of more than
    LONGEST characters is cut between tokens, and its parts do not see each other.
    """

    def __init__(
        self, model: Model, alphabet: Alphabet, tags: Sequence[str], team: Team, counts: NaiveBayes | None = None
    ) -> None:
        self.model, self.alphabet, self.tags = model, alphabet, list(tags)
        self.bio = is_bio(self.tags)
        self._allowed = allowed_after(self.tags)
        self._reader, self._counts, self._team = Reader(model, team), counts, team

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, threads: int) -> Tagger:
        """Return the tagger of a model file.

        Raises TaskError for a model of another task, CheckpointError if its description is damaged.
        """
        alphabet, tags = description_of(checkpoint)
        counts = counts_of(checkpoint, GROUPS, len(tags))
        return cls(Model.from_torch(checkpoint.config, checkpoint.parameters), alphabet, tags, Team(threads), counts)

    def changed(self) -> None:
        """Take note that the weights of the model are other ones than before."""
        self._reader.changed()

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the tags of each sentence, one for each of its tokens."""
        return [self._best(probs) for probs in self.probabilities(sentences)]

    def probabilities(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return the probability of each tag at each token: for each sentence (tokens, K), float64.

        Raises CheckpointError if an output is not finite.
        """
        if not sentences:
            return []
        texts = texts_of(self.alphabet, sentences, LONGEST)
        counts = np.fromiter(map(len, sentences), np.int64, len(sentences))
        found = self._reader.probabilities(texts)
        if self._counts:
            found = self._counts.mixed(features_of(texts), found, self._team)
        return np.split(found, np.cumsum(counts)[:-1])

    def _best(self, probs: np.ndarray) -> list[str]:
        """Return the most probable tags, or if those are no valid BIO, the most probable of all valid sequences."""
        best = probs.argmax(axis=1)
        if self.bio and len(best):
            before = np.append(len(self.tags), best[:-1])
            if not self._allowed[before, best].all():
                best = best_valid(np.log(probs), self._allowed)
        return [self.tags[tag] for tag in best.tolist()]


def features_of(texts: Texts) -> Features:
    """Return the features of each token of texts: itself, its ends and beginnings, and its neighbours (hash_tokens)."""
    keys = np.zeros((GROUPS, texts.scored), np.uint32)
    hash_tokens(*texts, keys)
    return Features(keys, np.arange(texts.scored + 1))


def description_of(checkpoint: Checkpoint) -> tuple[Alphabet, list[str]]:
    """Return the alphabet and the tags of a model.

    Raises TaskError for a model of another task, CheckpointError if its description is damaged, or its network is
    another one.
    """
    checkpoint.expect(TAG)
    alphabet, tags = parts_of(checkpoint.task)
    config = checkpoint.config
    if (config.inputs, config.input_size) != ("symbols", len(alphabet)):
        raise CheckpointError(f"its alphabet has {len(alphabet):,} symbols and its network {config.input_size:,}")
    if (config.outputs, config.output_size) != ("symbols", len(tags)):
        raise CheckpointError(f"it has {len(tags):,} tags and its network {config.output_size:,}")
    return alphabet, tags


def parts_of(task: dict[str, Any]) -> tuple[Alphabet, list[str]]:
    """Return the alphabet and the tags in the description of a task."""
    match task:
        case {
            "codec": dict(codec),
            "tags": [_, _, *_] as tags,
            "column": column,
            "lexicon": dict(lexicon),
            **others,
        } if (
            others.keys() == {"name"}
            and (column is None or (isinstance(column, str) and column in CONLLU_COLUMNS))
            and all(isinstance(part, str) and part and not set(part) & set("\t\n") for part in tags)
            and len(set(tags)) == len(tags)
            and all(tag in tags and isinstance(tokens, str) for tag, tokens in lexicon.items())
        ):
            characters = codec_from_dict(codec)
            if isinstance(characters, CharacterCodec):
                return Alphabet(characters), tags
    raise CheckpointError("the description of its tags is damaged; train it again")


def lexicon_of(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the tokens that a model was trained on, each with its most frequent tag."""
    description_of(checkpoint)
    lexicon = checkpoint.task["lexicon"]
    return {token: tag for tag, tokens in lexicon.items() for token in tokens.split("\n")}


def object_of(tokens: Sequence[str], tags: Sequence[str], bio: bool) -> dict[str, Any]:
    """Return a sentence, JSON-ready; the spans of BIO tags are counted in tokens, the end is exclusive."""
    shown = [token.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for token in tokens]
    values: dict[str, Any] = {"tokens": shown, "tags": list(tags)}
    if bio:
        values["spans"] = [
            {"kind": kind, "start": first, "end": last, "text": " ".join(shown[first:last])}
            for kind, first, last in spans_of(tags)
        ]
    return values
