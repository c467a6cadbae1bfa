"""Regular expressions in the syntax of Python, as trees. They stand for sets of whole texts, so groups capture nothing.

What is not regular (back references), looks around (assertions) or sets modes (flags) is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnn_cli.errors import UsageError

LONGEST = 10_000  # characters of an expression
DEEPEST = 50  # groups in groups
LARGEST = 0x10FFFF
CATEGORIES = "dswDSW"
CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
DIGITS_OF = {"x": 2, "u": 4, "U": 8}  # hexadecimal digits after \x, \u and \U
HEXADECIMAL = "0123456789abcdefABCDEF"


@dataclass(frozen=True)
class CharacterSet:
    """Characters of some ranges of code points and of some categories (`d` is that of \\d) or, negated, all others."""

    ranges: tuple[tuple[int, int], ...] = ()
    categories: str = ""
    negated: bool = False


@dataclass(frozen=True)
class Sequence:
    """Texts of each part, one after the other; without parts, the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """A text of any of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """Texts of a part, at least `low` and at most `high` of them; None is any number. `at` says where that stands."""

    part: Node
    low: int
    high: int | None
    at: int = 0


Node = CharacterSet | Sequence | Choice | Repeat
ANYTHING = Repeat(CharacterSet(negated=True), 0, None)
NO_NEWLINE = CharacterSet(((10, 10),), negated=True)  # what a dot matches


def literal(text: str) -> tuple[Node, ...]:
    """Return the parts that match a text itself."""
    return tuple(CharacterSet(((ord(character), ord(character)),)) for character in text)


def characters_of(tree: Node) -> list[str]:
    """Return the single characters of a tree, in their order."""
    if isinstance(tree, CharacterSet):
        return [] if tree.negated else [chr(low) for low, high in tree.ranges if low == high]
    parts = (tree.part,) if isinstance(tree, Repeat) else tree.parts
    return [character for part in parts for character in characters_of(part)]


def parse(pattern: str) -> Node:
    """Return the tree of a regular expression.

    Raises UsageError, naming the construct and its position, for one that is wrong or that is not supported.
    """
    if len(pattern) > LONGEST:
        raise UsageError(f"`pattern` has {len(pattern):,} characters, and {LONGEST:,} are possible; make it shorter")
    parser = Parser(pattern)
    node = parser.choice(0)
    if not parser.ended:
        raise parser.error("the ')' has no '(' before it; write \\) for the character", parser.at)
    return node


class Parser:
    """Reads an expression from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.at == len(self.pattern)

    def error(self, sentence: str, position: int) -> UsageError:
        """Return the error for what stands at a position."""
        return UsageError(f"`pattern` at character {position + 1:,}: {sentence}")

    def next_is(self, text: str) -> bool:
        """Say whether a text comes next."""
        return self.pattern.startswith(text, self.at)

    def took(self, text: str) -> bool:
        """Take a text if it comes next; say whether it did."""
        found = self.next_is(text)
        self.at += len(text) * found
        return found

    def choice(self, depth: int) -> Node:
        """Read alternatives up to the end of their group."""
        if depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} groups are in one another", self.at)
        parts = [self.sequence(depth)]
        while self.took("|"):
            parts.append(self.sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def sequence(self, depth: int) -> Node:
        """Read one alternative."""
        parts: list[Node] = []
        first = self.at
        while not self.ended and not self.next_is("|") and not self.next_is(")"):
            start = self.at
            if depth == 0 and start == first and self.took("^"):
                first = -1
                continue
            if depth == 0 and self.next_is("$") and self.pattern[start + 1 : start + 2] in ("", "|"):
                self.at += 1
                continue
            parts.append(self.repeated(self.atom(depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def atom(self, depth: int) -> Node:
        """Read a character, a set of them or a group."""
        start = self.at
        character = self.pattern[start]
        self.at += 1
        if character == "(":
            return self.group(start, depth)
        if character == "[":
            return self.set(start)
        if character == "\\":
            escaped = self.escape(start)
            return CharacterSet(categories=escaped) if escaped in CATEGORIES else literal(escaped[-1])[0]
        if character == ".":
            return NO_NEWLINE
        if character in "^$":
            raise self.error(f"the anchor {character} is not supported, as the whole text matches; leave it out", start)
        if character in "*+?" or (character == "{" and self.bounds(start) is not None):
            raise self.error(f"nothing comes before {character}, which repeats it; write \\{character}", start)
        return literal(character)[0]

    def group(self, start: int, depth: int) -> Node:
        """Read a group after its parenthesis."""
        if self.next_is("?") and not self.took("?:"):
            self.at += 1
            for sign, name in (("=", "lookahead"), ("!", "lookahead"), ("<=", "lookbehind"), ("<!", "lookbehind")):
                if self.next_is(sign):
                    raise self.error(f"{name} (?{sign}...) is not supported; leave it out", start)
            if self.next_is("P="):
                raise self.error("the back reference (?P=...) is not supported; leave it out", start)
            name = self.pattern[self.at + 2 : max(self.pattern.find(">", self.at), 0)]
            if not self.next_is("P<") or not name.isidentifier():
                raise self.error("only groups (...), (?:...) and (?P<name>...) are supported", start)
            self.at += len(name) + 3
        node = self.choice(depth + 1)
        if not self.took(")"):
            raise self.error("the '(' is not closed; write \\( for the character", start)
        return node

    def repeated(self, node: Node) -> Node:
        """Read what says how often a node comes. A lazy repetition matches the same texts."""
        start = self.at
        found = self.bounds(start)
        if found is None:
            return node
        low, high, self.at = found
        if high is not None and low > high:
            raise self.error(f"the repetition is at least {low:,} and at most {high:,}; exchange them", start)
        end = self.at
        if self.took("+"):
            raise self.error("a possessive repetition is not supported; leave the second + out", end)
        self.took("?")
        if self.bounds(self.at) is not None:
            raise self.error("a repetition is repeated; put the first into (?:...)", self.at)
        return Repeat(node, low, high, start + 1)

    def bounds(self, start: int) -> tuple[int, int | None, int] | None:
        """Return the fewest and the most repetitions that are asked for at a position, and where that ends."""
        signs: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        character = self.pattern[start : start + 1]
        if character in signs:
            return (*signs[character], start + 1)
        end = self.pattern.find("}", start)
        if character != "{" or end < 0:
            return None
        low, comma, high = self.pattern[start + 1 : end].partition(",")
        digits = low + high
        if not (comma or low) or not (digits.isascii() and (digits.isdigit() or not digits)):
            return None  # the brace is a character
        least = int(low[-9:] or 0) if len(low) < 10 else 10**9
        most = least if not comma else None if not high else int(high) if len(high) < 10 else 10**9
        return least, most, end + 1

    def escape(self, start: int) -> str:
        """Return the character after a backslash, or the letter of a category; a letter that is meant has one before.

        So `\\x64`, which is the letter d, is not taken for `\\d`.
        """
        if self.ended:
            raise self.error("the backslash at the end escapes nothing; write \\\\ for the character", start)
        character = self.pattern[self.at]
        self.at += 1
        if character in CATEGORIES:
            return character
        if character in DIGITS_OF:
            count = DIGITS_OF[character]
            digits = self.pattern[self.at : self.at + count]
            code = int(digits, 16) if len(digits) == count and set(digits) <= set(HEXADECIMAL) else -1
            if not 0 <= code <= LARGEST:
                raise self.error(f"\\{character} is the code of a character in {count} hexadecimal digits", start)
            self.at += count
            return f" {chr(code)}"
        if character.isdigit() and not (character == "0" and not self.pattern[self.at : self.at + 1].isdigit()):
            raise self.error(f"the back reference \\{character} is not supported; leave it out", start)
        if character in CONTROLS:
            return f" {CONTROLS[character]}"
        if character in "bBAZ":
            raise self.error(f"the assertion \\{character} is not supported; leave it out", start)
        if character.isascii() and character.isalpha():
            raise self.error(f"the escape \\{character} is not known; write {character} for the letter", start)
        return f" {character}"

    def set(self, start: int) -> CharacterSet:
        """Read a set after its bracket."""
        negated, categories = self.took("^"), ""
        ranges: list[tuple[int, int]] = []
        begun = False  # a bracket that comes first is a member
        while not (begun and self.took("]")):
            begun = True
            at = self.at
            low = self.member(start)
            if not self.next_is("-") or self.next_is("-]"):
                if low in CATEGORIES:
                    categories += low
                else:
                    ranges.append((ord(low[-1]), ord(low[-1])))
                continue
            self.at += 1
            high = self.member(start)
            shown = self.pattern[at : self.at]
            if low in CATEGORIES or high in CATEGORIES:
                raise self.error(f"the range {shown} has an end that is not a character", at)
            if low[-1] > high[-1]:
                raise self.error(f"the range {shown} is from a later character to an earlier; exchange them", at)
            ranges.append((ord(low[-1]), ord(high[-1])))
        return CharacterSet(tuple(ranges), categories, negated)

    def member(self, start: int) -> str:
        """Read a character of a set, as `escape` returns it."""
        if self.ended:
            raise self.error("the '[' is not closed; write \\[ for the character", start)
        character = self.pattern[self.at]
        self.at += 1
        if character != "\\":
            return f" {character}"
        if self.took("b"):
            return " \b"
        return self.escape(self.at - 1)
