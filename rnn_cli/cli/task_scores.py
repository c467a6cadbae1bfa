"""rnn evaluate for models that answer: right answers are compared with those of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rnn_cli.cli.options import note

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint

WIDEST_TABLE = 20  # labels of a confusion table that people read; a larger one is in --json


def evaluate_classifier(
    checkpoint: Checkpoint, paths: list[str], model: str, *, as_json: bool, threads: int, quiet: bool
) -> None:
    """Print how many labels are right, and which are taken for which."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import confusion_table, key_values
    from rnn_cli.tasks.classify.model import TextClassifier
    from rnn_cli.tasks.classify.scores import score_labelled
    from rnn_cli.tasks.labelled_texts import read_labelled

    classifier = TextClassifier(checkpoint, threads)
    scores = score_labelled(classifier, read_labelled(paths))
    if scores.unknown_labels:
        count = len(scores.unknown_labels)
        note(
            f"{count:,} label{'s are' if count > 1 else ' is'} not known to the model, as "
            f"'{scores.unknown_labels[0]}'; the texts count as wrong",
            quiet,
        )
    if scores.unknown_characters:
        note(f"unknown characters: {classifier.unknown.describe()}", quiet)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": model, **scores.to_dict()}))
    else:
        baseline = scores.baseline
        rows = [
            ("right", f"{scores.right:,} of {scores.texts:,} texts: {scores.accuracy:.1%}"),
            (f"always '{baseline['label']}'", f"{baseline['accuracy']:.1%}"),
            ("macro F1", f"{scores.macro_f1:.3f}"),
        ]
        if scores.bits_per_text is not None:
            rows.append(("bits per text", f"{scores.bits_per_text:.4f}"))
        writer.write_line(key_values(rows))
        if len(scores.labels) <= WIDEST_TABLE:
            writer.write_line("\n" + confusion_table(scores.labels, scores.confusion.tolist()))
    writer.close()


def evaluate_labelled(
    checkpoint: Checkpoint, paths: list[str], model: str, *, as_json: bool, threads: int, quiet: bool
) -> None:
    """Print the bits per character of texts given their labels, of each label and of all."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import key_values
    from rnn_cli.tasks.labelled.scores import score_labelled
    from rnn_cli.tasks.labelled_texts import read_labelled

    scores = score_labelled(checkpoint, read_labelled(paths), threads)
    for label in scores.unknown_labels[:1]:
        note(f"texts of {len(scores.unknown_labels):,} labels that the model lacks are left out, as '{label}'", quiet)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": model, **scores.to_dict()}))
    else:
        rows = [
            ("bits per character", f"{scores.bits_per_char:.4f} given the label"),
            ("by shares of characters", f"{scores.unigram_bits:.4f}"),
            ("characters", f"{scores.characters:,} of {scores.texts:,} texts"),
            *((f"  {label}", f"{bits:.4f}  {texts:,} texts") for label, (texts, _, bits) in scores.by_label.items()),
        ]
        writer.write_line(key_values(rows))
    writer.close()


def evaluate_tagger(
    checkpoint: Checkpoint, paths: list[str], model: str, *, as_json: bool, threads: int, quiet: bool
) -> None:
    """Print how many tags are right: of all tokens, of unknown ones, by tag, and for BIO of whole spans."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import key_values
    from rnn_cli.tasks.tag.evaluation import evaluate_sentences
    from rnn_cli.tasks.tag.sentences import read_tagged
    from rnn_cli.tasks.tag.tagger import description_of

    description_of(checkpoint)
    text = read_tagged(paths, checkpoint.task["column"])
    scores = evaluate_sentences(checkpoint, text.sentences, threads)
    if unknown := scores["unknown_tags"]:
        count = len(unknown)
        note(
            f"{count:,} tag{'s are' if count > 1 else ' is'} not known to the model, as '{unknown[0]}'; "
            "the tokens count as wrong",
            quiet,
        )
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": model, **scores}))
    else:
        new, baseline = scores["unknown"], scores["baseline"]
        rows = [("tags", f"{scores['accuracy']:.2%} of {scores['tokens']:,} tokens are right")]
        if new["tokens"]:
            rows.append(("unknown tokens", f"{new['accuracy']:.2%} of {new['tokens']:,} are right"))
        if "spans" in scores:
            rows += [(f"spans, {name}", f"{value:.2%}") for name, value in scores["spans"].items()]
            rows.append(("baseline, F1", f"{baseline['spans']['f1']:.2%}: {baseline['name']}"))
        rows.append(("baseline", f"{baseline['accuracy']:.2%}: {baseline['name']}"))
        writer.write_line(key_values(rows))
        ordered = sorted(scores["per_tag"].items(), key=lambda item: -item[1]["tokens"])[:WIDEST_TABLE]
        writer.write_line("\n" + key_values([(f"F1 of {tag}", figure_of(values)) for tag, values in ordered]))
    writer.close()


def evaluate_translator(
    checkpoint: Checkpoint, paths: list[str], model: str, *, as_json: bool, threads: int, quiet: bool
) -> None:
    """Print how many answers are right, beside a copy of the source."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import key_values
    from rnn_cli.tasks.translate.pairs import read_pairs
    from rnn_cli.tasks.translate.scores import evaluate_pairs
    from rnn_cli.tasks.translate.translator import Translator

    translator = Translator.of_checkpoint(checkpoint, threads)
    scores = evaluate_pairs(translator, read_pairs(paths))
    if unknown := scores["unknown_symbols"]:
        count = len(unknown)
        note(
            f"{count:,} symbol{'s of targets are' if count > 1 else ' of targets is'} not known to the model, "
            f"as '{unknown[0]}'; the pairs count as wrong",
            quiet,
        )
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": model, **scores}))
    else:
        baseline = scores["baseline"]
        rows = [
            ("right", f"{scores['right']:,} of {scores['sources']:,} sources: {1 - scores['word_error_rate']:.2%}"),
            ("copy of the source", f"{1 - baseline['word_error_rate']:.2%}"),
            ("wrong symbols", f"{scores['symbol_error_rate']:.2%}; of the copy {baseline['symbol_error_rate']:.2%}"),
            ("bits per symbol", f"{scores['bits_per_symbol']:.4f}"),
        ]
        writer.write_line(key_values(rows))
    writer.close()


def figure_of(values: Mapping[str, float]) -> str:
    """Return the F1 of a tag and the number of its tokens."""
    return f"{values['f1']:7.2%} of {values['tokens']:,} tokens"


def evaluate_forecaster(
    checkpoint: Checkpoint, paths: list[str], model: str, *, as_json: bool, threads: int, quiet: bool
) -> None:
    """Print the errors of forecasts, beside those of the seasonal naive forecast."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import key_values
    from rnn_cli.tasks.forecast.evaluation import evaluate_series
    from rnn_cli.tasks.forecast.forecaster import read_description
    from rnn_cli.tasks.forecast.series import read_series

    read_description(checkpoint)
    scores = evaluate_series(checkpoint, read_series(paths).series, threads)
    rest = scores["series"] - scores["continued"]
    if scores["continued"]:
        note(f"{scores['continued']:,} series continue those of the training", quiet)
    if rest:
        note(f"of {rest:,} series the last values are forecast from those before them", quiet)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": model, **scores}))
    else:
        baseline = scores["baseline"]
        rows = [("points", f"{scores['points']:,} of {scores['series']:,} series")]
        for name, shown in (("mae", "MAE"), ("rmse", "RMSE"), ("mape", "MAPE"), ("smape", "sMAPE"), ("mase", "MASE")):
            if scores[name] is not None:
                percent = " %" if "map" in name else ""
                rows.append(
                    (shown, f"{scores[name]:,.3f}{percent}; {baseline['name']}: {baseline[name]:,.3f}{percent}")
                )
        if scores["coverage"] is not None:
            rows.append(("coverage", f"{scores['coverage']:.1%} between the lowest and the highest quantile"))
        writer.write_line(key_values(rows))
    writer.close()


TASKS: dict[str, Callable[..., None]] = {
    "classify": evaluate_classifier,
    "labelled": evaluate_labelled,
    "tag": evaluate_tagger,
    "translate": evaluate_translator,
    "forecast": evaluate_forecaster,
}
