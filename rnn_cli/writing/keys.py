"""The keys of rnn write: what each is called, and what it does."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A key: its names for the terminal's library, its name for people, an action of Session, and what that does.

    Keys with a `hint` stand at the bottom of the screen.
    """

    codes: tuple[str, ...]
    name: str
    action: str
    does: str
    hint: str = ""


KEYS = (
    Key(("tab",), "Tab", "take", "take the suggestion; where the model ends the line (↵), begin a new one", "take"),
    Key(("c-f",), "Ctrl-F", "take_word", "take one word of it", "word"),
    Key(("c-l",), "Ctrl-L", "take_line", "take all up to the end of the line, with the newline", "line"),
    Key(("c-n",), "Ctrl-N", "next", "next alternative; within a line, show a suggestion", "next"),
    Key(("c-p",), "Ctrl-P", "previous", "previous alternative"),
    Key(("escape",), "Esc", "hide", "hide the suggestion until the text changes; leave a question", "hide"),
    Key(("c-s",), "Ctrl-S", "save", "save", "save"),
    Key(("c-q", "c-c", "c-x"), "Ctrl-Q", "quit", "quit; asks if something is not saved", "quit"),
    Key(("c-z", "c-_"), "Ctrl-Z", "undo", "undo", "undo"),
    Key(("c-y",), "Ctrl-Y", "redo", "redo", "redo"),
    Key(("c-o",), "Ctrl-O", "other", "other branch: what was written from the last fork before", "branch"),
    Key(("c-g",), "Ctrl-G", "longer", "longer suggestions, twice as long each time, then short ones again", "longer"),
    Key(("c-t",), "Ctrl-T", "settings", "settings: up and down change temperature, left and right top-p", "settings"),
    Key(("c-v",), "Ctrl-V", "bits", "show the bits of what was typed, or hide them", "bits"),
    Key(("c-r",), "Ctrl-R", "redraw", "draw the screen anew"),
)
MOVES = (
    Key(("left",), "left", "left", "a character to the left"),
    Key(("right",), "right", "right", "a character to the right"),
    Key(("c-left",), "Ctrl-left", "word_left", "a word to the left"),
    Key(("c-right",), "Ctrl-right", "word_right", "a word to the right"),
    Key(("home", "c-a"), "Home", "line_start", "start of the line"),
    Key(("end", "c-e"), "End", "line_end", "end of the line"),
    Key(("c-home",), "Ctrl-Home", "text_start", "start of the text"),
    Key(("c-end",), "Ctrl-End", "text_end", "end of the text"),
    Key(("up",), "up", "up", "a row up"),
    Key(("down",), "down", "down", "a row down"),
    Key(("pageup",), "Page up", "page_up", "a screen up"),
    Key(("pagedown",), "Page down", "page_down", "a screen down"),
    Key(("backspace",), "Backspace", "backspace", "delete the character before the cursor"),
    Key(("delete", "c-d"), "Delete", "delete", "delete the character at the cursor"),
    Key(("c-w",), "Ctrl-W", "delete_word", "delete the word before the cursor"),
    Key(("c-u",), "Ctrl-U", "delete_before", "delete the line before the cursor"),
    Key(("c-k",), "Ctrl-K", "delete_after", "delete the line after the cursor"),
    Key(("enter",), "Enter", "enter", "new line"),
)
