"""Finite automata of regular expressions, over characters or over bytes.

A tree becomes a nondeterministic automaton (Thompson 1968), and that a deterministic one, whose states are sets of its
nodes. Both are limited, as an expression of a few characters may need millions of states.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from rnn_cli.errors import UsageError
from rnn_cli.text.patterns.syntax import CharacterSet, Choice, Node, Repeat, Sequence
from rnn_cli.text.patterns.units import Units, Way

MOST_NODES = 20_000
MOST_STATES = 10_000
MOST_WORK = 1_000_000  # members of all sets and entries of tables: about a second
DEAD = -1
FAR = 1 << 30  # symbols: no text is as long


class Automaton(NamedTuple):
    """A deterministic automaton; state 0 is the start.

    classes (units) int64          the class of each unit
    table (states, classes) int32  the next state, or DEAD
    final (states) bool            whether a text may end
    """

    classes: np.ndarray
    table: np.ndarray
    final: np.ndarray


class Builder:
    """Builds a nondeterministic automaton: where each node leads to, by a set of units or by nothing."""

    def __init__(self, units: Units) -> None:
        self.by_set: list[list[tuple[int, int]]] = []
        self.by_nothing: list[list[int]] = []
        self.sets: dict[bytes, int] = {}
        self.closures: dict[int, frozenset[int]] = {}
        self.work = 0
        self._units = units
        self._ways: dict[CharacterSet, list[Way]] = {}

    def ways(self, characters: CharacterSet) -> list[Way]:
        """Return the ways to write a character of a set in units."""
        if characters not in self._ways:
            self._ways[characters] = self._units.ways(characters)
        return self._ways[characters]

    def size(self, tree: Node) -> int:
        """Return how many nodes a tree needs at most. Raises UsageError if they are too many."""
        if isinstance(tree, CharacterSet):
            return 1 + sum(map(len, self.ways(tree)))
        if not isinstance(tree, Repeat):
            return 1 + sum(map(self.size, tree.parts))
        size = 2 + self.size(tree.part) * (tree.low + 1 if tree.high is None else tree.high)
        if size > MOST_NODES:
            raise UsageError(
                f"`pattern` at character {tree.at:,}: the repetition has more than {MOST_NODES:,} parts; "
                "let it repeat less"
            )
        return size

    def add(self) -> int:
        """Return a new node."""
        self.by_set.append([])
        self.by_nothing.append([])
        return len(self.by_set) - 1

    def build(self, tree: Node, start: int) -> int:
        """Add nodes for a tree after a node; return the node at the end."""
        if isinstance(tree, CharacterSet):
            end = self.add()
            for way in self.ways(tree):
                node = start
                for step, units in enumerate(way, 1):
                    following = end if step == len(way) else self.add()
                    self.by_set[node].append((self.sets.setdefault(units, len(self.sets)), following))
                    node = following
            return end
        if isinstance(tree, Sequence):
            for part in tree.parts:
                start = self.build(part, start)
            return start
        if isinstance(tree, Choice):
            ends = [self.build(part, start) for part in tree.parts]
            end = self.add()
            for each in ends:
                self.by_nothing[each].append(end)
            return end
        for _ in range(tree.low):
            start = self.build(tree.part, start)
        end = self.add()
        self.by_nothing[start].append(end)
        if tree.high is None:
            self.by_nothing[self.build(tree.part, end)].append(end)
            return end
        for _ in range(tree.high - tree.low):
            start = self.build(tree.part, start)
            self.by_nothing[start].append(end)
        return end

    def closure(self, node: int, end: int) -> frozenset[int]:
        """Return the nodes that are reached by nothing and matter: the end, and those that lead on by a set."""
        if node not in self.closures:
            seen, waiting = {node}, [node]
            while waiting:
                for following in self.by_nothing[waiting.pop()]:
                    if following not in seen:
                        seen.add(following)
                        waiting.append(following)
            self.closures[node] = frozenset(each for each in seen if self.by_set[each] or each == end)
            self.work += len(seen)
        return self.closures[node]


def automaton_of(tree: Node, units: Units, name: str = "pattern") -> Automaton:
    """Return the automaton of the texts that an expression matches. Raises UsageError if it is too large."""
    builder = Builder(units)
    if builder.size(tree) > MOST_NODES:
        raise too_large(name)
    start = builder.add()
    end = builder.build(tree, start)
    sets = [np.frombuffer(units, bool) for units in builder.sets]
    columns, classes = np.unique(np.array([np.zeros(units.count, bool), *sets]), axis=1, return_inverse=True)
    members = [np.flatnonzero(row).tolist() for row in columns[1:]]
    numbers = {builder.closure(start, end): 0}
    waiting, rows = deque(numbers), []
    while waiting:
        targets: list[set[int]] = [set() for _ in range(columns.shape[1])]
        for node in waiting.popleft():
            for units_read, following in builder.by_set[node]:
                reached = builder.closure(following, end)
                for column in members[units_read]:
                    targets[column] |= reached
                builder.work += len(reached) * len(members[units_read])
            if builder.work > MOST_WORK:
                raise too_large(name)
        row = []
        for target in map(frozenset, targets):
            if target and target not in numbers:
                numbers[target] = len(numbers)
                waiting.append(target)
            row.append(numbers[target] if target else DEAD)
        rows.append(row)
        builder.work += len(row)
        if len(numbers) > MOST_STATES:
            raise too_large(name)
    final = np.array([end in state for state in numbers])
    return trimmed(Automaton(classes.reshape(-1), np.array(rows, np.int32), final))


def both(one: Automaton, other: Automaton) -> Automaton:
    """Return the automaton of the texts that both accept. Raises UsageError if it is too large."""
    pairs = np.stack([one.classes, other.classes], axis=1)
    columns, classes = np.unique(pairs, axis=0, return_inverse=True)
    first, second = one.table[:, columns[:, 0]].tolist(), other.table[:, columns[:, 1]].tolist()
    numbers, waiting, rows = {(0, 0): 0}, deque([(0, 0)]), []
    while waiting:
        state, own = waiting.popleft(), []
        for target in zip(first[state[0]], second[state[1]]):
            if DEAD in target:
                own.append(DEAD)
                continue
            if target not in numbers:
                numbers[target] = len(numbers)
                waiting.append(target)
            own.append(numbers[target])
        rows.append(own)
        if len(numbers) > MOST_STATES or len(rows) * len(columns) > MOST_WORK:
            raise too_large("pattern")
    final = np.array([bool(one.final[a] and other.final[b]) for a, b in numbers])
    return trimmed(Automaton(classes.reshape(-1), np.array(rows, np.int32), final))


def trimmed(automaton: Automaton) -> Automaton:
    """Return an automaton that does not go to states from which no text ends."""
    useful = np.append(distances(automaton.table, automaton.final) < FAR, False)  # DEAD is the last
    return automaton._replace(table=np.where(useful[automaton.table], automaton.table, DEAD).astype(np.int32))


def distances(table: np.ndarray, final: np.ndarray) -> np.ndarray:
    """Return how many steps each state is from the nearest final one (int32), FAR if none is reached."""
    found = np.where(final, 0, FAR).astype(np.int32)
    states, columns = np.nonzero(table != DEAD)
    before: dict[int, set[int]] = {}
    for state, target in zip(states.tolist(), table[states, columns].tolist()):
        before.setdefault(target, set()).add(state)
    waiting = deque(np.flatnonzero(final).tolist())
    while waiting:
        state = waiting.popleft()
        for earlier in before.get(state, ()):
            if found[earlier] == FAR:
                found[earlier] = found[state] + 1
                waiting.append(earlier)
    return found


def too_large(name: str) -> UsageError:
    """Return the error for an automaton that is too large."""
    return UsageError(
        f"`{name}` needs more than {MOST_STATES:,} states, or too many steps to find them; make it simpler, with "
        "fewer alternatives or shorter repetitions"
    )
