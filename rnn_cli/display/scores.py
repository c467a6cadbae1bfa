"""Scored lines and characters as rows of text or JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rnn_cli.display.stdout import visible

if TYPE_CHECKING:
    import numpy as np

    from rnn_cli.language.guess_numbers import GuessNumbers
    from rnn_cli.language.line_scores import ScoredLines


def line_rows(scored: ScoredLines, indices: np.ndarray, guesses: GuessNumbers | None = None) -> list[bytes]:
    """Return `bits<TAB>bits_per_char<TAB>line` for each of the chosen lines, in its exact bytes.

    With `guesses` the number of guesses, or a lower bound like `>1000`, is a column before the line.
    """
    bits, rates = scored.bits[indices], scored.bits_per_char[indices]
    lines = [to_bytes(scored.lines[index]) for index in indices.tolist()]
    if guesses is not None:
        numbers = [rounded_number(*pair).encode() for pair in guess_numbers(scored, indices, guesses)]
        lines = [b"%s\t%s" % pair for pair in zip(numbers, lines)]
    return [b"%.4f\t%.4f\t%s\n" % row for row in zip(bits.tolist(), rates.tolist(), lines)]


def line_objects(scored: ScoredLines, indices: np.ndarray, guesses: GuessNumbers | None = None) -> list[bytes]:
    """Return a JSON object for each of the chosen lines."""
    unknown, rates = scored.unknown, scored.bits_per_char
    numbers: list[dict[str, Any]] = [{} for _ in indices]
    if guesses is not None:
        pairs = guess_numbers(scored, indices, guesses)
        numbers = [{"guess_number": number, "guess_number_is_bound": bound} for number, bound in pairs]
    return [
        json_row(
            line=scored.line_number + index,
            text=to_bytes(scored.lines[index]).decode("utf-8", "replace"),
            **{f"{scored.unit}s": int(scored.characters[index])},
            unknown=int(unknown[index]),
            bits=float(scored.bits[index]),
            **{"bits_per_char" if scored.words is None else "bits_per_word": float(rates[index])},
            **guessed,
        )
        for index, guessed in zip(indices.tolist(), numbers)
    ]


def guess_numbers(scored: ScoredLines, indices: np.ndarray, guesses: GuessNumbers) -> list[tuple[float, bool]]:
    """Return for each of the chosen lines the number of guesses, and whether more may be needed.

    No text of the model has unknown characters, so a line with some is beyond any number.
    """
    bits = scored.bits.copy()
    bits[scored.unknown > 0] = float("inf")
    numbers, bounds = guesses.of(bits[indices])
    return list(zip(numbers.tolist(), bounds.tolist()))


def rounded_number(number: float, bound: bool) -> str:
    """Return a number of guesses in three digits, with ">" before a lower bound."""
    digits = f"{float(f'{number:.3g}'):.0f}" if number < 1e15 else f"{number:.2e}"
    return f">{digits}" if bound else digits


def character_rows(scored: ScoredLines, indices: np.ndarray) -> list[bytes]:
    """Return `bits<TAB>character` for each of the chosen characters or words."""
    names = [symbol_name(scored, index).encode() for index in indices.tolist()]
    return [b"%.4f\t%s\n" % row for row in zip(scored.symbol_bits[indices].tolist(), names)]


def character_objects(scored: ScoredLines, indices: np.ndarray) -> list[bytes]:
    """Return a JSON object for each of the chosen characters or words."""
    starts = scored.starts
    lines = starts.searchsorted(indices, side="right") - 1
    return [
        json_row(
            line=scored.line_number + line,
            column=index - int(starts[line]) + 1,
            **{scored.unit: symbol_name(scored, index)},
            unknown=bool(scored.symbol_unknown[index]),
            bits=float(scored.symbol_bits[index]),
        )
        for index, line in zip(indices.tolist(), lines.tolist())
    ]


def symbol_name(scored: ScoredLines, index: int) -> str:
    r"""Return an unambiguous name of a character, of a token or of a word, that fits on a line."""
    symbols = scored.words if scored.tokens is None else scored.tokens
    if symbols is None:
        return character_name(scored.text, index)
    symbol = symbols[index] if index < len(symbols) else "\n"
    return "".join(character_name(symbol, at) for at in range(len(symbol)))


def json_row(**values: Any) -> bytes:
    """Return a JSON object on a line."""
    return json.dumps(values).encode() + b"\n"


def to_bytes(line: str | bytes) -> bytes:
    """Return the bytes that a line was read from."""
    return line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")


def character_name(text: str | bytes, index: int) -> str:
    r"""Return an unambiguous name of a character that fits on a line: `\n`, `\\`, `\xe9`.

    The end of the text counts as a newline. A byte that is not part of a character is `\x` and its number.
    """
    character: str | int = text[index] if index < len(text) else "\n"
    code = character if isinstance(character, int) else ord(character)
    if isinstance(character, int) and code > 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not valid UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return "\\\\" if chr(code) == "\\" else visible(chr(code))
