"""rnn gradcheck: a model's kind and a text -> whether backpropagation agrees with numeric gradients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rnn_cli.cli.inspect import document_of
from rnn_cli.cli.options import DEFAULT_MODEL, Json, ModelPath, Quiet, announce_compiling

if TYPE_CHECKING:
    from rnn_cli.inspect.gradcheck import Block


def gradcheck(
    text: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A text, or a file like that of the training, or - for stdin.")
    ] = "-",
    model: ModelPath = DEFAULT_MODEL,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the gradients of training against numeric ones, in a small network of the model's kind; exit 1 if wrong.

    Example: rnn gradcheck namaskar
    """
    from rnn_cli.checkpoint.checkpoint import LANGUAGE, load_checkpoint
    from rnn_cli.display.columns import table
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.errors import RnnError, UsageError
    from rnn_cli.inspect.gradcheck import TOLERANCE, check_gradients
    from rnn_cli.inspect.plain_model import read_symbols
    from rnn_cli.inspect.small_networks import small_text_window, small_window
    from rnn_cli.network.pair_window import PairWindow
    from rnn_cli.network.workspace import TrainingWindow
    from rnn_cli.text.documents import text_for

    checkpoint = load_checkpoint(model).as_one_network()
    window: TrainingWindow | PairWindow
    if checkpoint.task["name"] == LANGUAGE:
        codec = checkpoint.codec
        symbols = read_symbols(codec, text_for(codec, document_of(text, quiet)))
        if len(symbols.scored) < 2:
            raise UsageError("the text is too short to check gradients on; give two symbols or more")
        announce_compiling(quiet)
        window = small_text_window(checkpoint.config, symbols)
    else:
        announce_compiling(quiet)
        window = small_window(checkpoint, text)
    blocks = check_gradients(window)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps([{**block._asdict(), "right": block.right} for block in blocks]))
    else:
        heading = ["block", "numbers", "largest", "off numeric", "off plain.py", "result"]
        rows = [[block.name, str(block.size), *figures(block), "right" if block.right else "WRONG"] for block in blocks]
        if all(block.plain is None for block in blocks):
            heading, *rows = ([*row[:4], *row[5:]] for row in (heading, *rows))
        writer.write_line(table(heading, rows))
    writer.close()
    wrong = [block.name for block in blocks if not block.right]
    if wrong:
        raise RnnError(
            f"the gradient is wrong in {', '.join(wrong)}: it differs by more than {TOLERANCE:g} of its largest"
        )


def figures(block: Block) -> list[str]:
    """Return the largest gradient of a block, and how far off the numeric one and that of plain.py are."""
    from rnn_cli.inspect.gradcheck import NOISE

    off = [block.difference, block.plain or 0.0]
    return [f"{block.largest:.2e}", *(f"{value:.1e}" if value > NOISE else f"<{NOISE:.0e}" for value in off)]
