"""The text of rnn evaluate --colour, shaded by how surprising each symbol is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnn_cli.language.scorer import Scorer

LEVELS = (1, 2, 4, 6)  # bits from which a symbol has the levels 1 to 4


def shade_texts(scorer: Scorer, paths: list[str]) -> None:
    """Print texts shaded by the bits of each symbol, with a key; without colours, above lines of marks."""
    import numpy as np

    from rnn_cli.display.shading import has_colours, shaded
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.inspect.plain_model import pieces_of
    from rnn_cli.text.codecs import BOUNDARY
    from rnn_cli.text.documents import read_documents, text_for

    codec, colours = scorer.codec, has_colours()
    names = "shaded, dark, bold, underlined" if colours else "marked . : + #"
    writer = TextWriter(raw=colours)
    writer.write_line(f"{names} from {', '.join(map(str, LEVELS))} bits on\n")
    for document in read_documents(paths):
        symbols = codec.encode(text_for(codec, document))
        scorer.start()
        bits = scorer.read(symbols)[0] / math.log(2)
        known = np.where(symbols < 0, BOUNDARY, symbols)
        pieces = pieces_of(codec, np.concatenate([[BOUNDARY], known]))[1:]
        pieces = ["\ufffd" if symbol < 0 else piece for symbol, piece in zip(symbols.tolist(), pieces)]
        writer.write_line(shaded(pieces, np.searchsorted(LEVELS, bits, side="right").tolist()))
    writer.close()
