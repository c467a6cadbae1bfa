"""What answers the inputs of a task: the same objects as the command of the task prints, from the same functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.serving.fields import RequestError
from rnn_cli.serving.task_engine import Answerer, Item, Objects
from rnn_cli.tasks.classify.labelling import labeller, object_of, rank
from rnn_cli.tasks.forecast.forecaster import Forecaster, objects_of, read_description
from rnn_cli.tasks.forecast.windows import seasonal_scale
from rnn_cli.tasks.tag import tagger as tagging
from rnn_cli.tasks.tag.sentences import tokens_of
from rnn_cli.tasks.translate import translator as translating


def classifier(checkpoints: Mapping[str, Checkpoint], threads: int) -> Answerer:
    """Return what labels texts with one classifier, or with several language models by their names."""
    labels = labeller(list(checkpoints.values()), list(checkpoints), threads)

    def answer(items: Sequence[Item], options: tuple[Any, ...]) -> list[Objects]:
        top, threshold = options
        lines = [item.value.encode("utf-8") for item in items]
        rankings = rank(labels, lines, top)
        for unknown in labels.unknown:
            unknown.counts.clear()  # nobody asks for them, and they would grow for ever
        return [
            [{"line": item.number, **object_of(labels, line, ranking, top, threshold)}]
            for item, line, ranking in zip(items, lines, rankings)
        ]

    return answer


def tagger(checkpoints: Mapping[str, Checkpoint], threads: int) -> Answerer:
    """Return what tags sentences."""
    (checkpoint,) = checkpoints.values()
    tagger = tagging.Tagger.of_checkpoint(checkpoint, threads)

    def answer(items: Sequence[Item], options: tuple[Any, ...]) -> list[Objects]:
        sentences = [tokens_of(item.value.removesuffix("\r")) for item in items]
        return [
            [{"line": item.number, **tagging.object_of(tokens, tags, tagger.bio)}]
            for item, tokens, tags in zip(items, sentences, tagger.tag(sentences))
        ]

    return answer


def translator(checkpoints: Mapping[str, Checkpoint], threads: int) -> Answerer:
    """Return what translates sources."""
    (checkpoint,) = checkpoints.values()
    translator = translating.Translator.of_checkpoint(checkpoint, threads)

    def answer(items: Sequence[Item], options: tuple[Any, ...]) -> list[Objects]:
        count, width = options
        sources = [item.value.removesuffix("\r") for item in items]
        found = translator.translate(sources, count, width)
        return [[translating.object_of(translator.symbols, source, answers)] for source, answers in zip(sources, found)]

    return answer


def forecaster(checkpoints: Mapping[str, Checkpoint], threads: int) -> Answerer:
    """Return what continues series; an input of None stands for those of the training."""
    (checkpoint,) = checkpoints.values()
    about, own = read_description(checkpoint), Forecaster.of_checkpoint(checkpoint, threads)
    shape = about.shape

    def answer_one(item: Item, steps: int) -> Objects:
        if item.value is not None:
            series, scales = [item.value], [seasonal_scale(item.value.values, shape.season)]
        else:
            series = [known.series for known in about.known.values()]
            scales = [known.scale for known in about.known.values()]
        if not series:
            raise RequestError("the model does not keep the series of its training; give `input`", "input")
        found = own.forecast(series, scales)[:, :steps]
        return [row for each, values in zip(series, found) for row in objects_of(each, values, own.levels)]

    def answer(items: Sequence[Item], options: tuple[Any, ...]) -> list[Objects]:
        (horizon,) = options
        if horizon > shape.horizon:
            raise RequestError(f"`horizon` is at most {shape.horizon:,} for this model, not {horizon:,}", "horizon")
        return [answer_one(item, horizon or shape.horizon) for item in items]

    return answer


ANSWERERS: dict[str, Callable[[Mapping[str, Checkpoint], int], Answerer]] = {
    "classify": classifier,
    "tag": tagger,
    "translate": translator,
    "forecast": forecaster,
}
