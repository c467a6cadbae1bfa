"""The weights of a page, rounded: bfloat16, or 8 bits, and what the 8 bits cost.

With 8 bits each row of a matrix is integers with a scale (float32); the rows come first, then the scales.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rnn_cli.checkpoint.checkpoint import CLASSIFY, LANGUAGE, TAG, TRANSLATE, Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.evaluation import evaluate_texts
from rnn_cli.language.sampling import sample_texts
from rnn_cli.tasks.labelled.model import LABELLED, given_label

Figures = dict[str, str]  # figures as they are printed, by their names
MEASURED, LONGEST_MEASURED = 10_000, 100  # symbols of a model's own on which the loss is measured, and of each text


def tensor_bytes(values: np.ndarray, int8: bool) -> bytes:
    """Return a tensor as the page reads it; vectors are always bfloat16."""
    if not int8 or values.ndim != 2:
        return bfloat16_bytes(values)
    numbers, scales = int8_rows(values)
    return numbers.tobytes() + scales.astype("<f4").tobytes()


def bfloat16_bytes(values: np.ndarray) -> bytes:
    """Return float32 numbers as bfloat16, rounded to nearest even."""
    bits = np.ascontiguousarray(values, "<f4").view("<u4").astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return rounded.astype("<u2").tobytes()


def int8_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix as 8-bit integers (rows, columns), and the scale of each row (rows): their product is near it."""
    scales = (np.maximum(np.abs(values).max(axis=1), 1e-30) / 127).astype(np.float32)
    return np.rint(values / scales[:, None]).astype(np.int8), scales


def in_page(values: np.ndarray, int8: bool) -> np.ndarray:
    """Return a tensor with the values that the page computes with."""
    if int8 and values.ndim == 2:
        numbers, scales = int8_rows(values)
        return numbers.astype(np.float32) * scales[:, None]
    bits = np.frombuffer(bfloat16_bytes(values), "<u2").astype("<u4") << 16
    return bits.view("<f4").reshape(values.shape)


def int8_loss(checkpoint: Checkpoint, paths: Sequence[str] = ()) -> str:
    """Return a sentence that says what 8 bits cost, beside bfloat16, on the texts of some files, "-" for stdin.

    Without files, a model that writes is measured on texts of its own: the cost is its divergence from the exact model.
    Raises UsageError if another model has no file.
    """
    exact, coarse = (
        replace(checkpoint, parameters={name: in_page(t, int8) for name, t in checkpoint.parameters.items()}, counts={})
        for int8 in (False, True)
    )
    if not paths:
        return loss_on_own_texts(exact, coarse)
    figures_of = figures_on(checkpoint, paths)
    before, after = figures_of(exact), figures_of(coarse)
    parts = [f"{after[name]} {name} instead of {before[name]}" for name in before]
    return f"8 bits: {', '.join(parts)}, on {', '.join(paths)}"


def figures_on(checkpoint: Checkpoint, paths: Sequence[str]) -> Callable[[Checkpoint], Figures]:
    """Read the texts of some files, and return what gives the figures of a model on them, as `rnn evaluate` does."""
    task = checkpoint.task["name"]
    measure = {CLASSIFY: on_labels, LABELLED: on_labelled, TAG: on_tags, TRANSLATE: on_pairs}.get(task, on_texts)
    return measure(checkpoint, paths)


def on_labels(checkpoint: Checkpoint, paths: Sequence[str]) -> Callable[[Checkpoint], Figures]:
    """Measure a classifier."""
    from rnn_cli.tasks.classify.model import TextClassifier
    from rnn_cli.tasks.classify.scores import score_labelled
    from rnn_cli.tasks.labelled_texts import read_labelled

    data = read_labelled(paths)

    def measure(model: Checkpoint) -> Figures:
        scores = score_labelled(TextClassifier(model), data)
        bits = {} if scores.bits_per_text is None else {"bits per text": f"{scores.bits_per_text:.4f}"}
        return {"of the labels are right": f"{scores.accuracy:.2%}", **bits}

    return measure


def on_labelled(checkpoint: Checkpoint, paths: Sequence[str]) -> Callable[[Checkpoint], Figures]:
    """Measure a language model that is given a label."""
    from rnn_cli.tasks.labelled.scores import score_labelled
    from rnn_cli.tasks.labelled_texts import read_labelled

    data = read_labelled(paths)
    return lambda model: {"bits per character": f"{score_labelled(model, data).bits_per_char:.4f}"}


def on_tags(checkpoint: Checkpoint, paths: Sequence[str]) -> Callable[[Checkpoint], Figures]:
    """Measure a tagger."""
    from rnn_cli.tasks.tag.evaluation import evaluate_sentences
    from rnn_cli.tasks.tag.sentences import read_tagged

    sentences = read_tagged(paths, checkpoint.task["column"]).sentences

    def measure(model: Checkpoint) -> Figures:
        found = evaluate_sentences(model, sentences, 1)
        spans = {"F1 of spans": f"{found['spans']['f1']:.2%}"} if "spans" in found else {}
        return {"of the tags are right": f"{found['accuracy']:.2%}", **spans}

    return measure


def on_pairs(checkpoint: Checkpoint, paths: Sequence[str]) -> Callable[[Checkpoint], Figures]:
    """Measure an encoder with a decoder."""
    from rnn_cli.tasks.translate.pairs import read_pairs
    from rnn_cli.tasks.translate.scores import evaluate_pairs
    from rnn_cli.tasks.translate.translator import Translator

    pairs = read_pairs(paths)

    def measure(model: Checkpoint) -> Figures:
        found = evaluate_pairs(Translator.of_checkpoint(model, 1), pairs)
        bits = f"{found['bits_per_symbol']:.4f}"
        return {"of the targets are right": f"{1 - found['word_error_rate']:.2%}", "bits per symbol": bits}

    return measure


def on_texts(checkpoint: Checkpoint, paths: Sequence[str]) -> Callable[[Checkpoint], Figures]:
    """Measure a language model."""
    from rnn_cli.text.documents import read_documents

    codec = checkpoint.codec
    texts = [codec.as_read(document.data) for document in read_documents(paths)]
    return lambda model: {f"bits per {codec.unit}": f"{evaluate_texts(model, texts).bits_per_char:.4f}"}


def loss_on_own_texts(exact: Checkpoint, coarse: Checkpoint) -> str:
    """Return what 8 bits cost in bits per symbol on texts that the exact model writes."""
    if exact.task["name"] not in (LANGUAGE, LABELLED):
        raise UsageError(
            "what 8 bits cost this model is measured on texts with their answers; give `measure_on` a file"
        )
    if exact.task["name"] == LABELLED:
        exact, coarse = (given_label(each, each.task["labels"][0]) for each in (exact, coarse))
    codec, config = exact.codec, SamplingConfig(length=LONGEST_MEASURED, random_seed=1)
    texts, count = [], 0
    for text in sample_texts(exact, count=MEASURED, config=config):
        texts.append(text)
        count += len(codec.encode(codec.as_read(text))) + 1  # its end is scored too
        if count >= MEASURED:
            break
    read = [codec.as_read(codec.text_end.join(texts) + codec.text_end)]
    bits = [evaluate_texts(model, read).bits_per_char for model in (exact, coarse)]
    return (
        f"8 bits cost {bits[1] - bits[0]:+.4f} bits per {codec.unit}: {bits[1]:.4f} instead of {bits[0]:.4f}, on "
        f"{count:,} {codec.unit}s that the model wrote"
    )
