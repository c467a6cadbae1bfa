"""rnn evaluate: texts and a model -> scores of the whole text, of its lines or of its characters."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli import task_scores
from rnn_cli.cli.options import (
    COMPUTATION,
    DEFAULT_MODEL,
    Json,
    ModelPath,
    Precision,
    Quiet,
    Shard,
    Threads,
    announce_compiling,
    note,
    precision_for,
    thread_count,
)
from rnn_cli.config import check_range
from rnn_cli.errors import UsageError
from rnn_cli.text.shards import parts_of, shard_of

if TYPE_CHECKING:
    import numpy as np

    from rnn_cli.language.evaluation import Scores, WordScores
    from rnn_cli.language.guess_numbers import GuessNumbers
    from rnn_cli.language.line_scores import ScoredLines, Selection
    from rnn_cli.language.scorer import Scorer

UNKNOWN_NAME = "<unk>"
ROWS, STATE, BASELINES = "Lines and characters", "The state", "Baselines"


def evaluate(
    files: Annotated[list[str] | None, typer.Argument(help="Text files, or - for stdin.", show_default=False)] = None,
    per_line: Annotated[
        bool,
        typer.Option("--per-line", help="Print bits TAB bits per character (or word) TAB line.", rich_help_panel=ROWS),
    ] = False,
    per_char: Annotated[
        bool, typer.Option("--per-char", help="Print bits TAB character, or word.", rich_help_panel=ROWS)
    ] = False,
    colour: Annotated[
        bool,
        typer.Option("--colour", help="Print the text, shaded by the bits of each character.", rich_help_panel=ROWS),
    ] = False,
    jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help="Print a JSON object for each line, or each character.", rich_help_panel=ROWS),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Only those of at least this many bits per character.", rich_help_panel=ROWS),
    ] = None,
    sort: Annotated[
        bool,
        typer.Option("--sort", help="Print the most surprising first, at the end of the text.", rich_help_panel=ROWS),
    ] = False,
    top: Annotated[
        int | None, typer.Option("--top", help="Print only the first N of that order.", rich_help_panel=ROWS)
    ] = None,
    below: Annotated[
        bool,
        typer.Option(
            "--below/--above", help="Select and sort the least surprising, or the most.", rich_help_panel=ROWS
        ),
    ] = False,
    total: Annotated[
        bool,
        typer.Option("--total", help="Select and sort by the bits of the whole line.", rich_help_panel=ROWS),
    ] = False,
    guess_number: Annotated[
        bool,
        typer.Option(
            "--guess-number",
            help="Add how many guesses each line needs in the order of the model, estimated from 20,000 samples.",
            rich_help_panel=ROWS,
        ),
    ] = False,
    reset_every: Annotated[
        int | None,
        typer.Option("--reset-every", help="Reset the state every N characters (not of lines).", rich_help_panel=STATE),
    ] = None,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt", help="Learn from the text once it is scored; the file does not change.", rich_help_panel=STATE
        ),
    ] = False,
    adapt_rate: Annotated[
        float | None,
        typer.Option(
            "--adapt-rate", help="Learning rate of --adapt, which it implies; default: 0.0007.", rich_help_panel=STATE
        ),
    ] = None,
    adapt_counts: Annotated[
        bool,
        typer.Option(
            "--adapt-counts", help="Let only the n-gram counts learn from the scored text.", rich_help_panel=STATE
        ),
    ] = False,
    counts: Annotated[
        float | None,
        typer.Option(
            "--counts", help="Weight of the n-gram counts in the mixture; 0: the network alone.", rich_help_panel=STATE
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines", help="Compare with uniform, unigram, 5-gram, gzip and xz.", rich_help_panel=BASELINES
        ),
    ] = False,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus", help="A text that the baselines learn from.", show_default=False, rich_help_panel=BASELINES
        ),
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    as_json: Json = False,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="bfloat16 is faster, mostly for lines; bits differ in the third digit.",
            rich_help_panel=COMPUTATION,
        ),
    ] = "float32",
    shard: Shard = None,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Score text: how many bits the model needs for each character, or how many labels are right.

    Example: rnn evaluate corpora/stars.txt --json
    """
    selecting = threshold is not None or sort or top is not None
    in_rows = per_line or per_char or jsonl or selecting or guess_number
    if per_line and per_char:
        raise UsageError("--per-line and --per-char contradict each other; give one of them")
    if colour and (in_rows or as_json or baselines):
        raise UsageError("--colour prints the text itself; leave out --json, --baselines and what selects lines")
    if in_rows and (as_json or baselines):
        given, advice = ("--json", "leave it out or use --jsonl") if as_json else ("--baselines", "leave it out")
        raise UsageError(f"{given} is about the whole text, not its lines or characters; {advice}")
    if (below or total) and not selecting:
        raise UsageError("--below and --total need --threshold, --sort or --top; give one of them")
    if total and per_char:
        raise UsageError("--total is about lines; leave it out with --per-char")
    if guess_number and per_char:
        raise UsageError("--guess-number is about lines; leave it out with --per-char")
    if guess_number and (adapt or adapt_rate is not None):
        raise UsageError("--guess-number is about a model that does not change; leave out --adapt")
    if adapt_counts and (adapt or adapt_rate is not None):
        raise UsageError("--adapt lets the n-gram counts learn, too; leave out --adapt-counts")
    if adapt_counts and (reset_every is not None or counts is not None or guess_number):
        raise UsageError("--adapt-counts excludes --reset-every, --counts and --guess-number; leave these out")
    if corpus and not baselines:
        raise UsageError("--corpus is what the baselines learn from; give --baselines too")
    if reset_every is not None and adapt:
        raise UsageError("--reset-every and --adapt contradict each other; give one of them")
    wanted = shard_of(shard)
    if wanted and not in_rows:
        raise UsageError("--shard is about lines; add --per-line or --jsonl, whose bits add up to those of the text")
    if wanted and (sort or top is not None):
        raise UsageError(
            "--sort and --top rank all lines; leave them out with --shard, and sort the lines of all parts"
        )
    if wanted and (adapt or adapt_rate is not None):
        raise UsageError("--adapt learns from all of the text before a line; leave it out with --shard")
    if threshold is not None:
        check_range("threshold", threshold, 0.0, 1e9)
    if top is not None:
        check_range("top", top, 1, 10**9)
    cores = thread_count(threads, quiet)
    paths = files or ["-"]

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.language.dynamic_evaluation import DEFAULT_RATE
    from rnn_cli.language.evaluation import make_scorer
    from rnn_cli.language.line_scores import Selection

    checkpoint = load_checkpoint(model)
    announce_compiling(quiet)
    if scores_task := task_scores.TASKS.get(checkpoint.task["name"]):
        about_characters = {
            "--per-line": per_line,
            "--per-char": per_char,
            "--colour": colour,
            "--jsonl": jsonl,
            "--threshold, --sort or --top": selecting,
            "--reset-every": reset_every is not None,
            "--adapt": adapt or adapt_rate is not None,
            "--adapt-counts": adapt_counts,
            "--counts": counts is not None,
            "--baselines": baselines,
        }
        for name, is_given in about_characters.items():
            if is_given:
                raise UsageError(f"{name} is for models that write text, and {model} is another one; leave it out")
        scores_task(checkpoint, paths, str(model), as_json=as_json, threads=cores, quiet=quiet)
        return
    if adapt and adapt_rate is None:
        adapt_rate = DEFAULT_RATE
    if wanted and not checkpoint.codec.line_mode:
        raise UsageError(
            "--shard is for models of lines, and this one carries its state from line to line; leave it out"
        )
    chosen = precision_for(precision)
    if adapt_counts and not checkpoint.counts:
        raise UsageError(f"{model} has no n-gram counts that could learn; give --adapt")
    scorer = make_scorer(checkpoint, cores, reset_every, adapt_rate, chosen, counts=counts, counting=adapt_counts)
    if colour:
        from rnn_cli.cli.colour import shade_texts

        shade_texts(scorer, paths)
    elif in_rows:
        selection = Selection(threshold, below, sort or top is not None, top)
        guesses = None
        if guess_number:
            from rnn_cli.language.guess_numbers import estimate_guess_numbers

            guesses = estimate_guess_numbers(checkpoint, scorer, cores)
        score_rows(
            scorer,
            parts_of(paths, wanted),
            selection,
            per_char=per_char,
            jsonl=jsonl,
            total=total,
            quiet=quiet,
            guesses=guesses,
        )
    else:
        score_whole(scorer, paths, str(model), as_json=as_json, baselines=baselines, corpus=corpus, quiet=quiet)


def score_rows(
    scorer: Scorer,
    parts: list[tuple[str, range | None]],
    selection: Selection,
    *,
    per_char: bool,
    jsonl: bool,
    total: bool,
    quiet: bool,
    guesses: GuessNumbers | None = None,
) -> None:
    """Print lines or characters of parts of files with their bits, and lines with their `guesses`, as they are read."""
    from rnn_cli.display import scores
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.language.line_scores import score_lines
    from rnn_cli.language.unknown import UnknownCharacters
    from rnn_cli.text.documents import check_stdin_once, newlines_before, read_pieces

    check_stdin_once([path for path, _ in parts])
    render: Callable[[ScoredLines, np.ndarray], list[bytes]]
    if per_char:
        render = scores.character_objects if jsonl else scores.character_rows
    else:
        render = partial(scores.line_objects if jsonl else scores.line_rows, guesses=guesses)
    writer, unknown, count, characters = TextWriter(), 0, 0, UnknownCharacters(scorer.codec)
    rows: dict[int, bytes] = {}  # by position, of those that wait for their order
    for path, part in parts:
        number = 1 + (newlines_before(path, part) if jsonl else 0)
        for lines in score_lines(scorer, read_pieces(path, part=part), end_last_line=not per_char, line_number=number):
            if lines.symbol_unknown.any():
                unknown += int(lines.symbol_unknown.sum())
                characters.add(lines.text)
            if per_char:
                values = lines.symbol_bits
            else:
                values = lines.bits if total else lines.bits_per_char
            positions = selection.take(values)
            rendered = render(lines, positions - count)
            count += len(values)
            if selection.in_order:
                rows.update(zip(positions.tolist(), rendered))
                if selection.top is not None:
                    rows = {position: rows[position] for position in selection.ranked().tolist()}
            else:
                writer.write(b"".join(rendered))
                writer.flush()
    writer.write(b"".join(rows[position] for position in selection.ranked().tolist()))
    writer.close()
    if unknown and scorer.codec.unit == "word":
        note(f"unknown words: {unknown:,}, scored as {UNKNOWN_NAME}: {characters.describe()}", quiet)
    elif unknown:
        price = f"unknown characters: {unknown:,}, at {scorer.unknown_bits:.2f} bits each"
        note(f"{price}: {characters.describe()}", quiet)


def score_whole(
    scorer: Scorer,
    paths: list[str],
    model: str,
    *,
    as_json: bool,
    baselines: bool,
    corpus: list[str] | None,
    quiet: bool,
) -> None:
    """Print the scores of all texts together."""
    from rnn_cli.display.progress import ScoringDisplay
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.language.baselines import baseline_bits
    from rnn_cli.language.evaluation import score_texts
    from rnn_cli.language.unknown import UnknownCharacters
    from rnn_cli.text.documents import read_documents, text_for

    codec = scorer.codec
    documents = read_documents([*paths, *(corpus or [])])
    given = [text_for(codec, document) for document in documents]
    texts, learned = given[: len(paths)], given[len(paths) :]
    size = sum(map(len, map(codec.encode, texts))) if codec.unit == "word" else sum(map(len, texts))
    with ScoringDisplay(quiet, size, f"{codec.unit}s") as display:
        scores = score_texts(scorer, texts, display.advance)
    others = baseline_bits(codec, texts, scorer.unknown_bits, learned or None) if baselines else {}
    writer = TextWriter()
    if as_json:
        compared = {"baselines": others} if baselines else {}
        writer.write_line(json.dumps({"model": model, **scores.to_dict(), **compared}))
    else:
        writer.write_line(format_scores(scores, others))
    writer.close()
    if scores.unknown:
        characters = UnknownCharacters(codec)
        for text in texts:
            characters.add(text)
        note(f"unknown {codec.unit}s: {characters.describe()}", quiet)


def format_scores(scores: Scores | WordScores, baselines: dict[str, float]) -> str:
    """Return scores and the bits per character or word of baselines as a table."""
    from rnn_cli.display.tables import key_values
    from rnn_cli.language.evaluation import WordScores

    if isinstance(scores, WordScores):
        perplexities = [(f"perplexity of {name}", f"{2.0 ** min(bits, 1000):.3f}") for name, bits in baselines.items()]
        return key_values(
            [
                ("perplexity", f"{scores.perplexity:.3f}"),
                (f"  without {UNKNOWN_NAME}", f"{scores.perplexity_without_unknown:.3f}"),
                ("bits per word", f"{scores.bits_per_word:.4f}"),
                ("bits per character", f"{scores.bits_per_char:.4f}"),
                ("bits per byte", f"{scores.bits_per_byte:.4f}"),
                ("top-1 accuracy", f"{scores.top1_accuracy:.1%}"),
                ("top-5 accuracy", f"{scores.top5_accuracy:.1%}"),
                ("words", f"{scores.words:,} ({scores.unknown:,} unknown, {scores.sentences:,} ends of sentences)"),
                ("state", scores.state),
                *perplexities,
            ]
        )
    return key_values(
        [
            ("bits per character", f"{scores.bits_per_char:.4f}"),
            ("nats per character", f"{scores.nats_per_char:.4f}"),
            ("bits per byte", f"{scores.bits_per_byte:.4f}"),
            ("perplexity", f"{scores.perplexity:.3f}"),
            ("top-1 accuracy", f"{scores.top1_accuracy:.1%}"),
            ("top-5 accuracy", f"{scores.top5_accuracy:.1%}"),
            ("characters", f"{scores.characters:,} ({scores.unknown:,} unknown)"),
            ("state", scores.state),
            *((f"bits of {name}", f"{bits:.4f}") for name, bits in baselines.items()),
        ]
    )
