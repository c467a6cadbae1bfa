"""Scored lines and characters as lines of text or JSON, and tables of scores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rnn_cli.display.stdout import visible

if TYPE_CHECKING:
    import numpy as np

    from rnn_cli.language.line_scores import ScoredLines


def line_rows(scored: ScoredLines, places: np.ndarray) -> list[bytes]:
    """Return `bits<TAB>bits_per_char<TAB>line` for each of the chosen lines; the line is the exact bytes."""
    bits, rates = scored.bits[places], scored.bits_per_char[places]
    lines = [to_bytes(scored.lines[place]) for place in places.tolist()]
    return [b"%.4f\t%.4f\t%s\n" % row for row in zip(bits.tolist(), rates.tolist(), lines)]


def line_objects(scored: ScoredLines, places: np.ndarray) -> list[bytes]:
    """Return a JSON object for each of the chosen lines."""
    unknown, rates = scored.unknown, scored.bits_per_char
    return [
        json_row(
            line=scored.line_number + place,
            text=to_bytes(scored.lines[place]).decode("utf-8", "replace"),
            characters=int(scored.characters[place]),
            unknown=int(unknown[place]),
            bits=float(scored.bits[place]),
            bits_per_char=float(rates[place]),
        )
        for place in places.tolist()
    ]


def character_rows(scored: ScoredLines, places: np.ndarray) -> list[bytes]:
    """Return `bits<TAB>character` for each of the chosen characters."""
    names = [character_name(scored.text, place).encode() for place in places.tolist()]
    return [b"%.4f\t%s\n" % row for row in zip(scored.symbol_bits[places].tolist(), names)]


def character_objects(scored: ScoredLines, places: np.ndarray) -> list[bytes]:
    """Return a JSON object for each of the chosen characters."""
    starts = scored.starts
    lines = starts.searchsorted(places, side="right") - 1
    return [
        json_row(
            line=scored.line_number + line,
            column=place - int(starts[line]) + 1,
            character=character_name(scored.text, place),
            unknown=bool(scored.symbol_unknown[place]),
            bits=float(scored.symbol_bits[place]),
        )
        for place, line in zip(places.tolist(), lines.tolist())
    ]


def json_row(**values: Any) -> bytes:
    """Return a JSON object on a line."""
    return json.dumps(values).encode() + b"\n"


def to_bytes(line: str | bytes) -> bytes:
    """Return the bytes that a line was read from."""
    return line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")


def character_name(text: str | bytes, place: int) -> str:
    r"""Return a character in a form that stays on its line and can be told from others: `\n`, `\\`, `\xe9`.

    After the text comes its end, which is a newline too. What is no character, but a byte, is `\x` and its number.
    """
    character: str | int = text[place] if place < len(text) else "\n"
    code = character if isinstance(character, int) else ord(character)
    if isinstance(character, int) and code > 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return "\\\\" if chr(code) == "\\" else visible(chr(code))
