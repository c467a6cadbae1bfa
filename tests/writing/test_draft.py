"""A draft forgets nothing: undo, redo and branches lead back to every text."""

import numpy as np
import pytest

from rnn_cli.writing import moves
from rnn_cli.writing.draft import DELETED, OTHER, TYPED, Draft


def type_text(draft, text):
    for character in text:
        draft.insert(character, TYPED)


def test_what_is_typed_is_undone_word_by_word():
    draft = Draft()
    type_text(draft, "the cat\nsat")
    seen = [draft.text]
    while draft.undo():
        seen.append(draft.text)
    assert seen == ["the cat\nsat", "the cat\n", "the ", ""]
    while draft.redo():
        pass
    assert (draft.text, draft.cursor) == ("the cat\nsat", 11)
    assert not draft.redo()


def test_a_suggestion_is_undone_at_once():
    draft = Draft("the ")
    draft.insert("cat sat on", OTHER)
    type_text(draft, " it")
    assert draft.undo()
    assert draft.undo()
    assert draft.text == "the cat sat on"
    assert draft.undo()
    assert (draft.text, draft.cursor) == ("the ", 4)


def test_deletions_are_undone_together():
    draft = Draft("the cat")
    for _ in range(3):
        draft.replace(draft.cursor - 1, 1, "", DELETED)
    assert draft.text == "the "
    assert draft.undo()
    assert (draft.text, draft.cursor) == ("the cat", 7)
    assert not draft.undo()


def test_branches_are_all_reached():
    draft = Draft("a")
    assert (draft.branch, draft.other_branch()) == ((1, 1), False)
    for text in ("b", "c", "d"):
        draft.insert(text)
        type_text(draft, "!")
        draft.undo()
        draft.undo()
    draft.redo()
    draft.redo()
    seen = []
    for _ in range(4):
        assert draft.other_branch()
        seen.append((draft.text, draft.branch))
    assert seen == [("ab!", (1, 3)), ("ac!", (2, 3)), ("ad!", (3, 3)), ("ab!", (1, 3))]


def test_undo_goes_through_any_edits():
    generator, draft, changes = np.random.default_rng(3), Draft("start"), []
    copy, seen = "start", ["start"]

    def follow(offset, removed, inserted):
        nonlocal copy
        assert copy[offset : offset + len(removed)] == removed
        copy = copy[:offset] + inserted + copy[offset + len(removed) :]
        changes.append(inserted)

    draft = Draft("start", follow)
    for number in range(200):
        place = int(generator.integers(0, len(draft.text) + 1))
        kind = (TYPED, DELETED, OTHER)[int(generator.integers(0, 3))]
        draft.replace(place, int(generator.integers(0, 4)), "xyz "[: number % 5], kind)
        assert copy == draft.text
        if number % 7 == 0:
            draft.undo()
            draft.undo()
        seen.append(draft.text)
    while draft.undo():
        assert copy == draft.text
    assert draft.text == "start"


def test_modified_is_about_the_saved_text():
    draft = Draft("a")
    draft.insert("b")
    assert draft.modified
    draft.undo()
    assert not draft.modified
    draft.redo()
    draft.set_saved()
    assert not draft.modified
    draft.undo()
    assert draft.modified


@pytest.mark.parametrize("text, found", [("ab", True), ("a b", False), ("a  \nb", True), ("a", True)])
def test_blanks_at_a_line_end_do_not_count(text, found):
    draft = Draft(text)
    draft.cursor = 2 if text == "ab" else 1
    assert draft.at_line_end == found


TEXT = "one  two\nthr\u0065\u0301e \U0001f468\u200d\U0001f469 end"


@pytest.mark.parametrize(
    "move, offset, target",
    [
        ("left", 0, 0),
        ("left", 14, 12),  # a letter with its accent
        ("right", 12, 14),
        ("right", 16, 19),  # an emoji of three
        ("left", 19, 16),
        ("right", len(TEXT), len(TEXT)),
        ("word_left", 6, 5),
        ("word_left", 5, 0),
        ("word_right", 3, 8),
        ("word_right", 8, 15),
        ("line_start", 12, 9),
        ("line_end", 2, 8),
        ("line_end", 12, len(TEXT)),
        ("text_start", 5, 0),
        ("text_end", 5, len(TEXT)),
    ],
)
def test_the_cursor_moves(move, offset, target):
    assert moves.MOVES[move](TEXT, offset) == target
