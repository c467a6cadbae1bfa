"""rnn report: a model and a text -> one self-contained page that shows what the network has learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    OUTPUT,
    Label,
    ModelPath,
    Quiet,
    RandomSeed,
    Threads,
    announce_compiling,
    model_files,
    note,
    seed_or_random,
    thread_count,
)
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint

BUILT_TEXTS, BUILT_PIECES = 12, 100  # texts whose answers are shown as they build up, and pieces of each
MOST_LABELS = 40  # of a confusion matrix that people read


def report(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="The model file, unless --model names it.",
            show_default=False,
            autocompletion=model_files,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT]",
            help="The text to read, a file or -; with labels for a classifier or tagger. Default: the model's own.",
            show_default=False,
        ),
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.", rich_help_panel=OUTPUT)] = Path(
        "report.html"
    ),
    label: Label = None,
    random_seed: RandomSeed = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Write a page that shows how a model reads a text: surprisal, units, gates, gradients, embedding.

    Example: rnn report model.safetensors corpora/stars.txt -o report.html
    """
    source = context.get_parameter_source("model")
    if source is not None and source.name == "COMMANDLINE":  # then the only argument is the text
        if text is not None:
            raise UsageError("the model is given twice, as an argument and as --model; give one of them")
        text = file
    elif file is not None:
        model = Path(file)
    if output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--output {output} must end in .html, as it is a page")
    seed, cores = seed_or_random(random_seed), thread_count(threads, quiet)

    from rnn_cli.atomic_files import is_same, unusable, write_atomically
    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.cli.info import describe, flatten
    from rnn_cli.inspect.page import page_of
    from rnn_cli.inspect.report import curves

    if is_same(output, model) or (text not in (None, "-") and is_same(output, str(text))):
        raise UsageError(f"--output {output} would replace a file that is read; name another one")
    checkpoint = load_checkpoint(model)
    announce_compiling(quiet)
    task = checkpoint.task["name"]
    if task in ANSWERS and label is not None:
        raise UsageError("--label is for a model of rnn train --labelled; leave it out")
    data = ANSWERS[task](checkpoint, text, cores) if task in ANSWERS else of_language(checkpoint, text, label, seed)
    facts = [row for row in flatten(describe(checkpoint)) if not row[0].startswith(("history", "versions"))]
    about = "Made by rnn report. The page is complete in itself: it opens without a network and fetches nothing."
    data |= {"model": model.name, "about": about, "facts": facts, "curves": curves(checkpoint)}
    page = page_of(data)
    try:
        write_atomically(output, page)
    except OSError as problem:
        raise unusable(problem, f"{output} cannot be written: {problem.strerror}; name another file") from problem
    note(f"wrote {output} ({len(page) / 1e6:.2f} MB)", quiet)


def of_language(checkpoint: Checkpoint, path: str | None, label: str | None, random_seed: int) -> dict[str, Any]:
    """Return the report of a model that writes, of texts of a label if it has labels."""
    from rnn_cli.inspect.report import language_report
    from rnn_cli.tasks.labelled.model import language_model
    from rnn_cli.text.documents import read_document, text_for

    own = language_model(checkpoint, label)
    return language_report(own, None if path is None else text_for(own.codec, read_document(path)), random_seed)


def of_classifier(checkpoint: Checkpoint, path: str | None, threads: int) -> dict[str, Any]:
    """Return the report of a classifier: each answer is computed anew for each beginning of the text."""
    from rnn_cli.inspect.report import answer_report
    from rnn_cli.tasks.classify.model import TextClassifier
    from rnn_cli.tasks.classify.scores import score_labelled
    from rnn_cli.tasks.labelled_texts import read_labelled

    classifier = TextClassifier(checkpoint, threads)
    if path is None:
        return answer_report(classifier.labels, None, [], "character")
    texts = read_labelled([path])
    scores, built = score_labelled(classifier, texts), []
    for index in range(0, len(texts.texts), max(1, len(texts.texts) // BUILT_TEXTS))[:BUILT_TEXTS]:
        pieces = texts.texts[index][:BUILT_PIECES]
        answers = classifier.probabilities([pieces[: end + 1] for end in range(len(pieces))])
        actual = texts.names[texts.labels[index]]
        built.append({"name": pieces, "pieces": list(pieces), "answers": answers, "actual": actual})
    labels = list(scores.labels)
    data = answer_report(labels, scores.confusion if len(labels) <= MOST_LABELS else None, built, "character")
    always = scores.baseline
    data["matrix_caption"] = (
        f"{scores.right:,} of {scores.texts:,} texts are right: {scores.accuracy:.1%}; "
        f"always '{always['label']}' would be {always['accuracy']:.1%}"
    )
    for item in data["built"]:  # labels that only the texts have are never answered
        item["answers"] = [row + [0.0] * (len(labels) - len(row)) for row in item["answers"]]
    return data


def of_tagger(checkpoint: Checkpoint, path: str | None, threads: int) -> dict[str, Any]:
    """Return the report of a tagger: the tag of the last token so far, computed for each beginning of the sentence."""
    import numpy as np

    from rnn_cli.inspect.report import answer_report
    from rnn_cli.tasks.tag.sentences import read_tagged
    from rnn_cli.tasks.tag.tagger import Tagger

    tagger = Tagger.of_checkpoint(checkpoint, threads)
    if path is None:
        return answer_report(tagger.tags, None, [], "token")
    sentences = read_tagged([path], checkpoint.task["column"]).sentences
    extra = sorted({tag for sentence in sentences for tag in sentence.tags} - set(tagger.tags))
    labels = [*tagger.tags, *extra]
    index, matrix = {tag: number for number, tag in enumerate(labels)}, np.zeros((len(labels), len(labels)), np.int64)
    for sentence, tags in zip(sentences, tagger.tag([sentence.tokens for sentence in sentences])):
        np.add.at(matrix, ([index[tag] for tag in sentence.tags], [index[tag] for tag in tags]), 1)
    built = []
    for number in range(0, len(sentences), max(1, len(sentences) // BUILT_TEXTS))[:BUILT_TEXTS]:
        tokens = sentences[number].tokens[:BUILT_PIECES]
        parts = tagger.probabilities([tokens[: end + 1] for end in range(len(tokens))])
        answers = np.zeros((len(tokens), len(labels)))
        answers[:, : len(tagger.tags)] = [part[-1] for part in parts]
        actual = " ".join(sentences[number].tags[:BUILT_PIECES])
        built.append({"name": " ".join(tokens), "pieces": list(tokens), "answers": answers, "actual": actual})
    data = answer_report(labels, matrix if len(labels) <= MOST_LABELS else None, built, "token")
    data["matrix_caption"] = f"{np.trace(matrix) / max(matrix.sum(), 1):.1%} of {matrix.sum():,} tokens are right"
    return data


ANSWERS = {"classify": of_classifier, "tag": of_tagger}
