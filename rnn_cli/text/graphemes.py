"""Grapheme clusters: what a reader takes for one character may be several code points."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

JOINER = "\u200d"
# Not of a category M, but written on the character before: the non-joiner, halfwidth voiced sound marks of Japanese.
OTHER_MARKS = frozenset("\u200c\uff9e\uff9f")
# The parts of Hangul syllables: first consonants, vowels, final consonants; and the whole syllables.
LEADING, VOWEL, TRAILING, SYLLABLES = ("\u1100", "\u115f"), ("\u1160", "\u11a7"), ("\u11a8", "\u11ff"), ("가", "힣")
FINALS = 28  # a syllable without a final consonant is followed by 27 with one


def clusters(text: str) -> Iterator[str]:
    """Yield the grapheme clusters of a text, by the rules of Unicode (annex 29) that matter outside of tests.

    Not separated from what is before it: a combining mark, a joiner (ZWJ), an emoji modifier or tag, and a symbol after
    a joiner; the second of two regional indicators, which are a flag; the line feed after a carriage return; the parts
    of a Hangul syllable. Conjuncts of Indic scripts are several clusters, one for each consonant.
    """
    if text.isascii() and "\r\n" not in text:
        yield from text
        return
    cluster = ""
    for character in text:
        if cluster and not joins(cluster, character):
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def joins(cluster: str, character: str) -> bool:
    """Say whether a character belongs to the cluster before it."""
    last = cluster[-1]
    if character.isascii() or (last.isascii() and not last.isprintable()):
        return last == "\r" and character == "\n"
    if extends(character):
        return unicodedata.category(last) not in ("Cc", "Zl", "Zp")
    if last == JOINER:
        return unicodedata.category(character) == "So" and unicodedata.category(cluster[0]) == "So"
    if is_regional(character):
        return len(cluster) == 1 and is_regional(last)
    return joins_syllable(last, character)


def joins_syllable(last: str, character: str) -> bool:
    """Say whether a part of a Hangul syllable continues it."""
    if within(character, LEADING) or within(character, SYLLABLES):
        return within(last, LEADING)
    open_syllable = within(last, SYLLABLES) and (ord(last) - ord(SYLLABLES[0])) % FINALS == 0
    if within(character, VOWEL):
        return within(last, LEADING) or within(last, VOWEL) or open_syllable
    return within(character, TRAILING) and any(within(last, part) for part in (VOWEL, TRAILING, SYLLABLES))


def extends(character: str) -> bool:
    """Say whether a character belongs to the one before it, whatever that is."""
    return (
        unicodedata.category(character)[0] == "M"
        or character == JOINER
        or character in OTHER_MARKS
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags of flags
    )


def is_regional(character: str) -> bool:
    """Say whether a character is one of the letters that form flags in pairs."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def may_join(alphabet: str) -> bool:
    """Say whether a text of these characters may have clusters of several of them."""
    return any(
        extends(character) or is_regional(character) or within(character, ("\u1100", "\u11ff"))
        for character in alphabet
        if character > "\x7f"
    ) or {"\r", "\n"} <= set(alphabet)


def within(character: str, limits: tuple[str, str]) -> bool:
    """Say whether a character is in a range of code points."""
    return limits[0] <= character <= limits[1]
