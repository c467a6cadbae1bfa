"""rnn gradcheck: a model's kind and a text -> whether backpropagation agrees with numeric gradients."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rnn_cli.cli.inspect import load
from rnn_cli.cli.options import DEFAULT_MODEL, Json, Label, ModelPath, Quiet


def gradcheck(
    text: Annotated[str, typer.Argument(metavar="[FILE]", help="A text, a text file, or - for stdin.")] = "-",
    model: ModelPath = DEFAULT_MODEL,
    label: Label = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check backpropagation against numeric gradients, in a small network of the model's kind; exit 1 if it is wrong.

    Example: rnn gradcheck namaskar
    """
    network, _, symbols = load(text, model, label, quiet)

    from rnn_cli.display.columns import table
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.errors import RnnError, UsageError
    from rnn_cli.inspect.gradcheck import TOLERANCE, check_gradients

    if len(symbols.inputs) < 3:
        raise UsageError("the text is too short to check gradients on; give two symbols or more")
    blocks = check_gradients(network.config, symbols.inputs)
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps([{**block._asdict(), "right": block.right} for block in blocks]))
    else:
        rows = [
            [b.name, str(b.size), f"{b.largest:.2e}", f"{b.difference:.1e}", "right" if b.right else "WRONG"]
            for b in blocks
        ]
        writer.write_line(table(["block", "numbers", "largest gradient", "largest difference", "result"], rows))
    writer.close()
    wrong = [block.name for block in blocks if not block.right]
    if wrong:
        raise RnnError(
            f"the gradient is wrong in {', '.join(wrong)}: it differs by more than {TOLERANCE:g} of its largest"
        )
