"""Automata of regular expressions accept the texts that Python's own accept, and stay small."""

import itertools
import random
import re
import warnings

import numpy as np
import pytest

from rnn_cli.errors import UsageError
from rnn_cli.text.patterns.automata import DEAD, MOST_STATES, automaton_of, both
from rnn_cli.text.patterns.syntax import CharacterSet, parse
from rnn_cli.text.patterns.units import Bytes, Characters

ALPHABET = "ab1_ \n\u00e9\u0661"  # a digit and a letter that are not ASCII
TEXTS = ["".join(parts) for size in range(5) for parts in itertools.product(ALPHABET, repeat=size)]
PIECES = [*"ab1_ |()[]*+?{},^$.-\\\u00e9\u0661", "[ab]", "[^a]", "[^\\w]", "[\\W\\d]", "[a-b1]", "(?:", "(a|b)", "a|b"]
PIECES += ["\\d", "\\w", "\\s", "\\W", "\\n", "\\x61", "\\u0661", "{1,2}", "{2}", "{,1}", "{1,}", "*?", "(?P<x>"]
DELIBERATE = ("anchor", "back reference", "possessive", "assertion", "escape")  # what Python allows and we refuse
CHARACTERS, BYTES = Characters(ALPHABET), Bytes()


def accepts(automaton, units):
    """Say whether an automaton accepts a text, given as the numbers of its units."""
    state = 0
    for unit in units:
        state = automaton.table[state, automaton.classes[unit]]
        if state == DEAD:
            return False
    return bool(automaton.final[state])


def compiled(pattern, flags=0):
    """Return Python's expression, or None if it is wrong."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return re.compile(pattern, flags)
        except re.error:
            return None


@pytest.mark.parametrize("seed", range(3))
def test_the_texts_are_those_of_python(seed):
    generator, checked = random.Random(seed), 0
    for _ in range(700):
        pattern = "".join(generator.choices(PIECES, k=generator.randint(0, 8)))
        try:
            tree = parse(pattern)
        except UsageError as error:
            if compiled(pattern) and not any(word in str(error) for word in DELIBERATE):
                raise
            continue
        assert compiled(pattern), pattern
        by_character, by_byte = automaton_of(tree, CHARACTERS), automaton_of(tree, BYTES)
        for text in generator.sample(TEXTS, 60):
            wanted = compiled(pattern).fullmatch(text) is not None
            assert accepts(by_character, map(ALPHABET.index, text)) == wanted, (pattern, text)
            wanted = compiled(pattern, re.ASCII).fullmatch(text) is not None
            assert accepts(by_byte, text.encode()) == wanted, (pattern, text)
            checked += 1
    assert checked > 15_000


@pytest.mark.parametrize(
    "low, high", [(0, 0x10FFFF), (0x7F, 0x80), (0x100, 0x1234), (0xD000, 0xE001), (0xFFFF, 0x10000)]
)
def test_ranges_of_characters_are_those_of_utf8(low, high):
    inside, outside = (automaton_of(CharacterSet(((low, high),), negated=negated), BYTES) for negated in (False, True))
    near = {code + step for code in (low, high, 0x80, 0x800) for step in range(-70, 70)}
    for code in [*near, *range(0, 0x110000, 997)]:
        if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            assert accepts(inside, chr(code).encode()) == (low <= code <= high)
            assert accepts(outside, chr(code).encode()) == (not low <= code <= high)


def test_both_is_the_intersection():
    generator = random.Random(5)
    for one, other in itertools.combinations(["(ab)*.?", ".*b.*", "[^1]*", "a{2,3}|b*", "(a|b)*a.", ""], 2):
        for units, encode in ((CHARACTERS, lambda text: map(ALPHABET.index, text)), (BYTES, str.encode)):
            automaton = both(automaton_of(parse(one), units), automaton_of(parse(other), units))
            for text in generator.sample(TEXTS, 300):
                wanted = bool(re.fullmatch(one, text) and re.fullmatch(other, text))
                assert accepts(automaton, encode(text)) == wanted


def test_no_state_is_a_dead_end():
    automaton = both(automaton_of(parse("a{3}b*|1"), CHARACTERS), automaton_of(parse(".*b"), CHARACTERS))
    reached = {0, *automaton.table.ravel().tolist()} - {DEAD}
    assert all(automaton.final[state] or (automaton.table[state] != DEAD).any() for state in reached)
    impossible = both(automaton_of(parse("a"), CHARACTERS), automaton_of(parse("b"), CHARACTERS))
    assert (impossible.table == DEAD).all()
    assert not impossible.final.any()


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("(a)\\1", "character 4: the back reference \\\\1"),
        ("(?P<x>a)(?P=x)", "character 9: the back reference"),
        ("b(?=a)", "character 2: lookahead"),
        ("(?<!a)b", "character 1: lookbehind"),
        ("(?i)a", "character 1: only groups"),
        ("a\\b", "character 2: the assertion"),
        ("a^b", "character 2: the anchor"),
        ("a*+", "character 3: a possessive"),
        ("a{2}{3}", "character 5: a repetition is repeated"),
        ("*a", "character 1: nothing comes before"),
        ("a{3,2}", "character 2: the repetition is at least 3 and at most 2"),
        ("(a", "character 1: the '\\(' is not closed"),
        ("a)", "character 2: the '\\)' has no"),
        ("x[a", "character 2: the '\\[' is not closed"),
        ("[b-a]", "character 2: the range b-a"),
        ("[a-\\d]", "character 2: the range"),
        ("a\\", "character 2: the backslash"),
        ("\\x6", "character 1: \\\\x is the code"),
        ("\\y", "character 1: the escape"),
        ("(" * 99 + ")" * 99, "groups are in one another"),
        ("a" * 10_001, "10,000 are possible"),
    ],
)
def test_the_construct_and_its_position_are_named(pattern, words):
    with pytest.raises(UsageError, match=f"`pattern`.*{words}"):
        parse(pattern)


@pytest.mark.parametrize("units", [CHARACTERS, BYTES], ids=["characters", "bytes"])
@pytest.mark.parametrize(
    "pattern",
    ["(a|b)*a(a|b){20}", "a{1,100000}", "((a{1,99}){1,99}){1,99}", "(a?){3000}", "(a*|b?){2000}", "a{999999999999}"],
)
def test_no_expression_blows_up(pattern, units):
    with pytest.raises(UsageError, match=r"`pattern`.*(states|parts)"):
        automaton_of(parse(pattern), units)


def test_large_expressions_are_possible():
    assert len(automaton_of(parse(".{0,5000}"), CHARACTERS).table) == 5001 < MOST_STATES
    assert len(automaton_of(parse("(a*)*b"), CHARACTERS).table) == 2
    assert np.count_nonzero(automaton_of(parse("x*"), CHARACTERS).final) == 1
