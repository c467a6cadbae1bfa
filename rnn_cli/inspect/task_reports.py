"""The data of the report of a model that answers: classifier, tagger, translator, forecaster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from rnn_cli.checkpoint.checkpoint import CLASSIFY, TAG, TRANSLATE, Checkpoint
from rnn_cli.inspect.numbers import evenly, rounded
from rnn_cli.tasks.classify.model import TextClassifier
from rnn_cli.tasks.classify.scores import score_labelled
from rnn_cli.tasks.forecast.evaluation import Case, case_of, evaluate_series
from rnn_cli.tasks.forecast.forecaster import FORECAST, Forecaster, read_description
from rnn_cli.tasks.forecast.series import read_series
from rnn_cli.tasks.forecast.windows import seasonal_naive
from rnn_cli.tasks.labelled_texts import read_labelled
from rnn_cli.tasks.tag.sentences import read_tagged
from rnn_cli.tasks.tag.tagger import Tagger
from rnn_cli.tasks.translate.pairs import read_pairs
from rnn_cli.tasks.translate.scores import figures_of
from rnn_cli.tasks.translate.translator import Translator

SHOWN, PIECES = 12, 100  # texts, pairs or series that are shown one by one, and pieces of each
MOST_LABELS = 40  # of a confusion matrix that people read
COMMON = 24  # symbols of targets whose confusions are shown
MOST_PAIRS = 1000  # that are answered
GUESSES = 4
PAST = 3  # seasons that are shown before a forecast

Item = TypeVar("Item")


def some(items: Sequence[Item]) -> list[Item]:
    """Return up to SHOWN items at equal distances; there is at least one."""
    return [items[k] for k in evenly(len(items), SHOWN).tolist()]


def built_up(pieces: Sequence[str], answers: np.ndarray, name: str, actual: str) -> dict[str, Any]:
    """Return the answers (pieces, labels) of a model to each beginning of a text."""
    return {"name": name, "pieces": list(pieces), "answers": rounded(answers, 3), "actual": actual}


def matrix_of(labels: Sequence[str], counts: np.ndarray, caption: str) -> dict[str, Any]:
    """Return a confusion matrix (actual, answered), unless it is too large to be read."""
    readable = len(labels) <= MOST_LABELS
    return {"labels": list(labels), "matrix": {"counts": counts.tolist(), "caption": caption} if readable else None}


def classifier_report(checkpoint: Checkpoint, path: str | None, threads: int) -> dict[str, Any]:
    """Return the report of a classifier: each answer is computed anew for each beginning of the text."""
    classifier = TextClassifier(checkpoint, threads)
    if path is None:
        return {"kind": "answers"}
    texts = read_labelled([path])
    scores, built = score_labelled(classifier, texts), []
    labels, always = scores.labels, scores.baseline
    for text, label in some(list(zip(texts.texts, texts.labels.tolist()))):
        pieces = text[:PIECES]
        answers = np.zeros((len(pieces), len(labels)))  # labels that only the texts have are never answered
        answers[:, : len(classifier.labels)] = classifier.probabilities([pieces[: k + 1] for k in range(len(pieces))])
        built.append(built_up(pieces, answers, pieces, texts.names[label]))
    caption = (
        f"{scores.right:,} of {scores.texts:,} texts are right: {scores.accuracy:.1%}; "
        f"always '{always['label']}' would be {always['accuracy']:.1%}"
    )
    return {"kind": "answers", "unit": "character", "built": built, **matrix_of(labels, scores.confusion, caption)}


def tagger_report(checkpoint: Checkpoint, path: str | None, threads: int) -> dict[str, Any]:
    """Return the report of a tagger: the tag of the last token so far, computed for each beginning of the sentence."""
    tagger = Tagger.of_checkpoint(checkpoint, threads)
    if path is None:
        return {"kind": "answers"}
    sentences, built = read_tagged([path], checkpoint.task["column"]).sentences, []
    labels = [*tagger.tags, *sorted({tag for sentence in sentences for tag in sentence.tags} - set(tagger.tags))]
    found = tagger.tag([sentence.tokens for sentence in sentences])
    index, counts = {tag: number for number, tag in enumerate(labels)}, np.zeros((len(labels), len(labels)), np.int64)
    for sentence, tags in zip(sentences, found):
        np.add.at(counts, ([index[tag] for tag in sentence.tags], [index[tag] for tag in tags]), 1)
    for sentence in some(sentences):
        tokens, actual = sentence.tokens[:PIECES], " ".join(sentence.tags[:PIECES])
        answers = np.zeros((len(tokens), len(labels)))
        beginnings = tagger.probabilities([tokens[: end + 1] for end in range(len(tokens))])
        answers[:, : len(tagger.tags)] = [part[-1] for part in beginnings]
        built.append(built_up(tokens, answers, " ".join(tokens), actual))
    caption = f"{np.trace(counts) / max(counts.sum(), 1):.1%} of {counts.sum():,} tokens are right"
    return {"kind": "answers", "unit": "token", "built": built, **matrix_of(labels, counts, caption)}


def translator_report(checkpoint: Checkpoint, path: str | None, threads: int) -> dict[str, Any]:
    """Return the report of a translator: answers with their attention, and the confusions of its symbols."""
    translator = Translator.of_checkpoint(checkpoint, threads)
    if path is None:
        return {"kind": "answers"}
    data, symbols = read_pairs([path]), translator.symbols
    data = data.take(np.arange(min(len(data), MOST_PAIRS)))
    answers = [symbols.decode(best.symbols) for (best,) in translator.translate(data.sources)]
    figures = figures_of(answers, data, symbols.words)
    caption = (
        f"{figures['right']:,} of {len(data):,} answers are right; "
        f"{figures['symbol_error_rate']:.1%} of the symbols are wrong. Counted here: what comes after the right symbols"
    )
    pairs = [pair_report(translator, *pair) for pair in some(list(zip(data.sources, data.targets)))]
    labels, counts = symbol_confusion(translator, data.sources, data.targets)
    return {"kind": "answers", "pairs": pairs, **matrix_of(labels, counts, caption)}


def pair_report(translator: Translator, source: str, target: str) -> dict[str, Any]:
    """Return the answer to a source: what each symbol attends to and might have been; the answers to its beginnings."""
    symbols = translator.symbols
    read, names = symbols.normal(source)[:PIECES], ["end", *symbols.outputs]
    beginnings = [read[: end + 1] for end in range(len(read))]
    answers = [answer.symbols for (answer,) in translator.translate(beginnings)]
    (followed,) = translator.follow([read], answers[-1:])
    best = np.argsort(-followed.probabilities, axis=1, kind="stable")[:, :GUESSES]
    probs = rounded(np.take_along_axis(followed.probabilities, best, axis=1), 3)
    return {
        "name": read,
        "source": [*read, "end"],
        "actual": target,
        "written": [*(names[symbol] for symbol in answers[-1]), "end"],
        "attention": rounded(followed.attention, 3),
        "guesses": [[[names[k], p] for k, p in zip(*row)] for row in zip(best.tolist(), probs)],
        "built": [[part, symbols.decode(answer)] for part, answer in zip(beginnings, answers)],
    }


def symbol_confusion(
    translator: Translator, sources: Sequence[str], targets: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Return the commonest symbols of the targets, and how often each was answered (right, answered).

    The decoder has written the right symbols so far. A symbol that the training lacks ends the comparison of a pair.
    """
    names = ["end", *translator.symbols.outputs]
    right = [np.append(translator.symbols.encode_target(target), 0) for target in targets]
    right = [ids[: next(iter(np.flatnonzero(ids < 0)), len(ids))] for ids in right]
    found = translator.follow(sources, [ids[: len(ids) - 1].tolist() for ids in right])
    actual = np.concatenate(right)
    answered = np.concatenate([each.probabilities.argmax(axis=1)[: len(ids)] for each, ids in zip(found, right)])
    common = np.sort(np.argsort(-np.bincount(actual, minlength=len(names)), kind="stable")[:COMMON])
    common = common[np.isin(common, actual)]
    place = np.full(len(names), -1)
    place[common] = np.arange(len(common))
    counts = np.zeros((len(common), len(common)), np.int64)
    shown = (place[actual] >= 0) & (place[answered] >= 0)
    np.add.at(counts, (place[actual[shown]], place[answered[shown]]), 1)
    return [names[k] for k in common.tolist()], counts


def forecaster_report(checkpoint: Checkpoint, path: str | None, threads: int) -> dict[str, Any]:
    """Return the report of a forecaster: series with their forecasts, and what came if a file says so."""
    about, forecaster = read_description(checkpoint), Forecaster.of_checkpoint(checkpoint, threads)
    caption = ""
    if path is None:
        cases = [Case(known.series, known.scale, np.zeros(0)) for known in about.known.values()]
    else:
        series = read_series([path]).series
        scores = evaluate_series(checkpoint, series, threads)
        cases = [case_of(about, each) for each in series]
        inside = "" if scores["coverage"] is None else f"; {scores['coverage']:.0%} of the values are in the interval"
        caption = f"MASE {scores['mase']:.3f}; the seasonal naive forecast has {scores['baseline']['mase']:.3f}{inside}"
    cases = some(cases) if cases else []
    found = forecaster.forecast([case.past for case in cases], [case.scale for case in cases])
    middle, levels = Forecaster.middle_of(forecaster.levels), forecaster.levels
    return {
        "kind": "answers",
        "caption": caption,
        "interval": [levels[0], levels[-1]] if len(levels) > 1 else None,
        "series": [
            {
                "name": case.past.name,
                "past": rounded(case.past.values[-PAST * max(about.shape.season, about.shape.horizon) :], 6),
                "actual": rounded(case.actual, 6),
                "forecast": rounded(values[:, middle], 6),
                "naive": rounded(seasonal_naive(case.past.values, about.shape.season, len(values)), 6),
                "low": rounded(values[:, 0], 6),
                "high": rounded(values[:, -1], 6),
            }
            for case, values in zip(cases, found)
        ],
    }


REPORTS: dict[str, Callable[[Checkpoint, str | None, int], dict[str, Any]]] = {
    CLASSIFY: classifier_report,
    TAG: tagger_report,
    TRANSLATE: translator_report,
    FORECAST: forecaster_report,
}
