"""Nameable properties of a text, as a label for each symbol that a network has read."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np

QUOTES = {"\u201c": "\u201d", "\u00ab": "\u00bb", "\u201e": "\u201d"}
BRACKETS = {"(": ")", "[": "]", "{": "}"}
VOWELS = set("aeiouy")


class Track(NamedTuple):
    """The label of each symbol: 0 or 1 if `binary`, else a number."""

    label: str
    values: np.ndarray
    binary: bool


def tracks_of(pieces: list[str]) -> list[Track]:
    """Return the tracks of a text, whose pieces are what each symbol adds to it."""
    last = [piece[-1:] for piece in pieces]
    first = [piece.strip()[:1] for piece in pieces]
    following = [*last[1:], ""]

    def binary(label: str, values: list[bool]) -> Track:
        return Track(label, np.array(values, float), True)

    return [
        binary("inside quotes", inside_quotes(pieces)),
        binary("inside brackets", inside_brackets(pieces)),
        Track("position in the line", np.array(positions(pieces), float), False),
        binary("after a blank", [before.isspace() for before in ["", *last[:-1]]]),
        binary("vowel", [unicodedata.normalize("NFD", each)[:1].lower() in VOWELS and each != "" for each in last]),
        binary("capital", [each.isupper() for each in first]),
        binary("digit", [each.isdigit() for each in first]),
        binary("end of a word", [a.isalnum() and not b.isalnum() for a, b in zip(last, following)]),
    ]


def inside_quotes(pieces: list[str]) -> list[bool]:
    """Say of each symbol whether a quotation that began before its end is open; it ends with its paragraph."""
    closing, labels = "", []
    for piece in pieces:
        for character in piece:
            if closing:
                closing = "" if character == closing or character == "\n" else closing
            else:
                closing = '"' if character == '"' else QUOTES.get(character, "")
        labels.append(closing != "")
    return labels


def inside_brackets(pieces: list[str]) -> list[bool]:
    """Say of each symbol whether a bracket is open after it; the end of a line closes all."""
    depth, labels = 0, []
    for piece in pieces:
        for character in piece:
            depth = (
                0 if character == "\n" else max(depth + (character in BRACKETS) - (character in BRACKETS.values()), 0)
            )
        labels.append(depth > 0)
    return labels


def positions(pieces: list[str]) -> list[int]:
    """Return how many characters of its line have been read after each symbol."""
    position, labels = 0, []
    for piece in pieces:
        _, newline, rest = piece.rpartition("\n")
        position = len(rest) + (0 if newline else position)
        labels.append(position)
    return labels
