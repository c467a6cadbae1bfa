"""Score a model on tagged sentences, beside the most frequent tag of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.tasks.tag.scores import baseline_tags, evaluate_tags
from rnn_cli.tasks.tag.sentences import Sentence
from rnn_cli.tasks.tag.tagger import Tagger, lexicon_of

AT_ONCE = 4096  # sentences


def evaluate_sentences(checkpoint: Checkpoint, sentences: Sequence[Sentence], threads: int) -> dict[str, Any]:
    """Return the figures of a model on sentences, JSON-ready.

    sentences, tokens     how many there are
    accuracy              share of tokens whose tag is right
    unknown               the tokens that the training part did not have: how many, and their accuracy
    spans                 precision, recall and F1 of whole spans, if the tags are those of BIO
    per_tag               precision, recall, F1 and number of tokens of each tag
    baseline              the same figures of the most frequent tag of each token in the training part
    unknown_tags          tags that the model does not know, which count as wrong

    Raises TaskError for a model of another task.
    """
    tagger, lexicon = Tagger.of_checkpoint(checkpoint, threads), lexicon_of(checkpoint)
    tokens = [sentence.tokens for sentence in sentences]
    found = [tags for first in range(0, len(tokens), AT_ONCE) for tags in tagger.tag(tokens[first : first + AT_ONCE])]
    baseline = [baseline_tags(lexicon, tagger.tags[0], words) for words in tokens]
    actual = [sentence.tags for sentence in sentences]
    scores = evaluate_tags(tokens, actual, found, lexicon, baseline, tagger.bio)
    new = {tag for tags in actual for tag in tags} - set(tagger.tags)
    return scores | {"unknown_tags": sorted(new)}
