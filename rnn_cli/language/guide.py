"""Guides of sampling: which texts `pattern`, `suffix` and `must_contain` allow, as an automaton over symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.kernels.text.guides import AT_BOUNDARY, AT_ONCE, WHERE_LEFT, Guides
from rnn_cli.language.config import SamplingConfig
from rnn_cli.text.codecs import BOUNDARY, FORBIDDEN, ByteCodec, Codec, TokenCodec, WordCodec
from rnn_cli.text.patterns import syntax
from rnn_cli.text.patterns.automata import DEAD, FAR, Automaton, automaton_of, both, distances, too_large
from rnn_cli.text.patterns.outlook import outlooks
from rnn_cli.text.patterns.syntax import ANYTHING, Node, characters_of, literal
from rnn_cli.text.patterns.units import Bytes, Characters, Units

if TYPE_CHECKING:
    from rnn_cli.language.stepper import Prompt

LONGEST_OUTLOOK = 1000  # symbols
MOST_ENTRIES = 1_000_000  # of a table, of 4 bytes each
SHOWN = 5  # unknown characters in a message


@dataclass(frozen=True, eq=False)
class Guide:
    """An automaton that whole texts keep to. State 0 is the start, and a text may end in a state with the distance 0.

    names                       the parameters that it is made of
    classes (V) int32           the class of each symbol to sample; that of the boundary does not matter
    read (V) int32              the same for a prompt, which may have symbols that are not sampled
    table (states, classes)     int32: the next state, or DEAD; those of class 0 are DEAD
    distances (needed, states)  int32: the fewest symbols, at least as many as the index says, with which a text
                                matches, or FAR
    outlooks (symbols, states)  float32: about the log of the probability that a text goes on so that it matches, if at
                                most so many symbols come
    ending                      where a text that matches ends: see kernels/text/guides.py
    """

    names: tuple[str, ...]
    classes: np.ndarray
    read: np.ndarray
    table: np.ndarray
    distances: np.ndarray
    outlooks: np.ndarray
    ending: int

    @property
    def nbytes(self) -> int:
        """The memory that it needs."""
        return sum(each.nbytes for each in (self.classes, self.read, self.table, self.distances, self.outlooks))

    @property
    def described(self) -> str:
        """The parameters, for messages."""
        return " and ".join(f"`{name}`" for name in self.names)

    def state_after(self, ids: Sequence[int] | np.ndarray) -> int:
        """Return the state after the symbols of a text, or DEAD."""
        state, table = 0, self.table
        for column in self.read[np.asarray(ids, np.int64)].tolist():
            state = int(table[state, column])
            if state == DEAD:
                break
        return state

    def accepts(self, ids: np.ndarray) -> bool:
        """Say whether a whole text matches."""
        state = self.state_after(ids)
        return state != DEAD and bool(self.distances[0, state] == 0)

    @property
    def sampled(self) -> np.ndarray:
        """The table of the symbols to sample: other classes are DEAD."""
        return sampled_table(self.table, self.classes)

    def for_prompts(self, prompts: Sequence[Prompt], symbol_shares: np.ndarray) -> Guide:
        """Return the guide with the distances and the outlooks for texts of these prompts.

        `symbol_shares` (V) says about how often each symbol occurs. Raises UsageError if too many distances are needed.
        """
        needed = 1 + max((prompt.shortest for prompt in prompts), default=0)
        if needed * len(self.table) > MOST_ENTRIES or needed > MOST_ENTRIES // 10:
            raise UsageError(f"{self.described} and `min_length` together need too many states; lower `min_length`")
        rows = [self.distances[0]]
        table = np.where(self.sampled == DEAD, len(self.table), self.sampled)
        for _ in range(1, needed):
            rows.append(np.minimum(np.append(rows[-1], FAR)[table].min(axis=1) + 1, FAR))
        longest = max((prompt.longest for prompt in prompts), default=0)
        return replace(self, distances=np.array(rows, np.int32), outlooks=self._outlooks(symbol_shares, longest))

    def _outlooks(self, symbol_shares: np.ndarray, longest: int) -> np.ndarray:
        steps = min(longest, LONGEST_OUTLOOK, MOST_ENTRIES // len(self.table))
        if self.ending != AT_BOUNDARY:
            symbol_shares = np.append(0.0, symbol_shares[1:] / symbol_shares[1:].sum())
        shares = np.bincount(self.classes[1:], symbol_shares[1:], self.table.shape[1])
        final = self.distances[0] == 0
        if self.ending == AT_BOUNDARY:
            ends = final * symbol_shares[BOUNDARY]
        elif self.ending == AT_ONCE:
            ends = final.astype(float)
        else:
            ends = final * ((self.sampled == DEAD) @ shares)
        return outlooks(self.sampled, shares, ends, self.distances[0], steps)

    def check(self, prompt: Prompt, size: int, what: str) -> None:
        """Raise UsageError if no text goes on from a prompt of `size` symbols, matches and keeps to its limits."""
        fewest = self.distances[prompt.shortest, prompt.automaton_state]
        if fewest <= prompt.longest:
            return
        shortest = self.distances[0, prompt.automaton_state]
        if shortest > prompt.longest:
            raise UsageError(
                f"the shortest text that matches {self.described} has {shortest + size:,} characters, and with {what} "
                f"at most {prompt.longest + size:,} are possible; raise `length` or `max_length`"
            )
        raise UsageError(
            f"no text that matches {self.described} has {prompt.shortest + size:,} to {prompt.longest + size:,} "
            "characters; change `min_length`, `length` or `max_length`"
        )


def guide_for(codec: Codec, config: SamplingConfig) -> Guide | None:
    """Return the guide of a configuration, None if all texts match.

    Raises UsageError for an expression that is wrong, that needs too many states, or that no text of the symbols that
    may be sampled matches.
    """
    names = config.guided
    if not names:
        return None
    if isinstance(codec, WordCodec):
        raise UsageError(f"`{names[0]}` is for models of characters, tokens or bytes, and this one writes words")
    units, spelled = units_of(codec)
    trees: list[tuple[str, Node]] = []
    if config.pattern is not None:
        trees.append(("pattern", syntax.parse(config.pattern)))
    if config.suffix:
        trees.append(("suffix", syntax.Sequence((ANYTHING, *known(codec, "suffix", config.suffix)))))
    for text in config.must_contain:
        trees.append(("must_contain", syntax.Sequence((ANYTHING, *known(codec, "must_contain", text), ANYTHING))))
    automaton = reduce(both, [automaton_of(tree, units, name) for name, tree in trees])
    allowed = (codec.follow_table(config.forbid, config.valid_utf8) != FORBIDDEN).any(axis=0)
    allowed[BOUNDARY] = False
    read, table = over_symbols(automaton, spelled)
    classes = np.where(allowed, read, 0)
    far = distances(sampled_table(table, classes), automaton.final)
    ending = AT_BOUNDARY if codec.line_mode else AT_ONCE if config.suffix else WHERE_LEFT
    guide = Guide(names, classes, read, table, far[None], np.zeros((0, 0), np.float32), ending)
    if far[0] == FAR:
        remark = remark_on_unknown(units, [tree for _, tree in trees])
        raise UsageError(f"no text of the characters that may be sampled matches {guide.described}{remark}; change it")
    return guide


def units_of(codec: Codec) -> tuple[Units, list[list[int]]]:
    """Return what the automata of a codec read, and how each symbol is spelled in it; the boundary is nothing."""
    if isinstance(codec, ByteCodec):
        return Bytes(), [[], *([byte] for byte in range(256))]
    symbols: Sequence[str] = codec.tokens if isinstance(codec, TokenCodec) else codec.alphabet
    alphabet = "".join(sorted(set("".join(symbols))))
    numbers = {character: number for number, character in enumerate(alphabet)}
    return Characters(alphabet), [[], *([numbers[character] for character in symbol] for symbol in symbols)]


def known(codec: Codec, name: str, text: str) -> tuple[Node, ...]:
    """Return the parts that match a text. Raises UsageError if the model does not know a character of it."""
    if not isinstance(codec, TokenCodec):
        codec.encode_prompt(codec.as_read(text.encode("utf-8")), what=f"`{name}`")
    return literal(text)


def sampled_table(table: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return a table without the classes that no symbol has."""
    return np.where(np.isin(np.arange(table.shape[1]), classes), table, DEAD)


def over_symbols(automaton: Automaton, spelled: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes (V) of symbols, and the table (states, classes) of an automaton over them.

    Symbols are `spelled` in the units of the automaton; class 0, that of the boundary, leads nowhere.
    """
    columns: dict[tuple[int, ...], int] = {(): 0}
    steps = np.append(automaton.table, np.full((1, automaton.table.shape[1]), DEAD, np.int32), axis=0)
    table = [np.full(len(automaton.table), DEAD, np.int32)]
    classes = np.zeros(len(spelled), np.int32)
    for symbol, units in enumerate(spelled):
        key = tuple(automaton.classes[units].tolist())
        if key not in columns:
            columns[key] = len(columns)
            state = np.arange(len(automaton.table), dtype=np.int32)
            for column in key:
                state = steps[state, column]
            table.append(state)
            if len(table) * len(state) > MOST_ENTRIES:
                raise too_large("pattern")
        classes[symbol] = columns[key]
    return classes, np.stack(table, axis=1)


def remark_on_unknown(units: Units, trees: Sequence[Node]) -> str:
    """Return a remark on characters of expressions that the model does not know, for a message; empty if none."""
    if not isinstance(units, Characters):
        return ""
    found = dict.fromkeys(character for tree in trees for character in characters_of(tree))
    unknown = [character for character in found if character not in units.alphabet]
    shown = ", ".join(f"'{character}' (U+{ord(character):04X})" for character in unknown[:SHOWN])
    return f"; the model has never seen {shown}" if unknown else ""


def side_by_side(guides: Sequence[Guide], vocab_size: int) -> Guides:
    """Return guides as kernels read them."""
    places = np.zeros((len(guides), 7), np.int64)
    for place, guide in enumerate(guides):
        table, far, outlook = (
            sum(getattr(each, name).size for each in guides[:place]) for name in ("table", "distances", "outlooks")
        )
        width, states, last = guide.table.shape[1], len(guide.table), len(guide.outlooks) - 1
        places[place] = table, width, far, states, guide.ending, outlook, last
    integers, reals = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return Guides(
        classes=np.array([guide.classes for guide in guides], np.int32).reshape(len(guides), vocab_size),
        table=np.concatenate([integers, *(guide.table.ravel() for guide in guides)]),
        distances=np.concatenate([integers, *(guide.distances.ravel() for guide in guides)]),
        outlooks=np.concatenate([reals, *(guide.outlooks.ravel() for guide in guides)]),
        places=places,
    )
