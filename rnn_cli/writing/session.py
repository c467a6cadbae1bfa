"""Writing a text: what each key does to it, whatever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rnn_cli.language.config import SamplingConfig
from rnn_cli.writing import moves
from rnn_cli.writing.draft import DELETED, OTHER, TYPED
from rnn_cli.writing.files import TextFile
from rnn_cli.writing.storage import Storage
from rnn_cli.writing.suggestions import LINE, NEXT, PREVIOUS, SHOW, Answer, Bits, Request, Suggestion

DOUBLINGS = 5  # of the length of suggestions, until they are short again
STEPS = {"up": ("temperature", 0.1), "down": ("temperature", -0.1), "right": ("top_p", 0.05), "left": ("top_p", -0.05)}
LIMITS = {"temperature": (0.0, 2.0), "top_p": (0.05, 1.0)}


class Session:
    """The text, the suggestion after the cursor, and what was asked.

    After each action call `next_request`, have it answered, and give the answer to `receive`.

    suggestion  what continues the text at the cursor, None until it is known
    bits        what the text before the cursor cost
    message     a sentence about the last action, or ""
    adjusting   whether arrows change the settings
    """

    def __init__(self, file: TextFile | None, config: SamplingConfig, show_bits: bool = False) -> None:
        self.config, self.show_bits, self.message = config, show_bits, ""
        self.storage = Storage(file, self._say)
        self.draft = self.storage.draft
        self.suggestion: Suggestion | None = None
        self.bits = Bits(None, None, None)
        self.adjusting, self._hidden, self._asked = False, False, False
        self._index, self._wanted, self._usual_length = 0, SHOW, config.length

    def _say(self, sentence: str) -> None:
        self.message = sentence

    def next_request(self) -> Request | None:
        """Return what is to be suggested after the last action, or None if nothing is."""
        wanted, self._wanted = self._wanted, ""
        if not wanted:
            return None
        shown = self.suggestion.text if self.suggestion else ""
        return Request(self.draft.before, self.config, self._index, wanted, shown)

    def receive(self, answer: Answer) -> None:
        """Take an answer in, unless the text or the settings have changed meanwhile."""
        request, found = answer.request, answer.suggestion
        if request.text != self.draft.before or request.config is not self.config:
            return
        self.bits = answer.bits
        if request.wanted == LINE:
            if found and (found.text or found.ended):
                self._insert(found.text + "\n" * (found.ended and not found.text.endswith("\n")))
                self._index = 0
        elif found is not None:
            self.suggestion, self._index = found, found.index
        elif request.wanted == SHOW:
            self.suggestion = None
        else:
            self.message = "there is no other suggestion" + " at temperature 0" * (self.config.temperature == 0)

    @property
    def ghost(self) -> Suggestion | None:
        """The suggestion to show after the cursor, if there is one: within a line only if it was asked for."""
        shown = not self._hidden and (self._asked or self.draft.at_line_end)
        return self.suggestion if shown else None

    def _insert(self, text: str, kind: str = OTHER) -> None:
        """Insert a text at the cursor. If the suggestion begins with it, its rest stays."""
        if not self.storage.fits(text):
            return
        found = self.suggestion
        kept = found is not None and bool(text) and found.text.startswith(text)
        self.suggestion = replace(found, text=found.text[len(text) :]) if found and kept else None
        self._hidden, self._asked, self._wanted = False, self._asked and kept, SHOW
        self.draft.insert(text, kind)

    def _moved(self) -> None:
        self.suggestion, self._hidden, self._asked, self._wanted = None, False, False, SHOW

    def take(self) -> None:
        """Take the suggestion, or a new line where the model ends the line; within a line, show it first."""
        ghost = self.ghost
        if ghost is None:
            self._hidden, self._asked = False, True
        elif ghost.text or ghost.ended:
            self._insert(ghost.text or "\n")
            self._index = 0

    def take_word(self) -> None:
        """Take the first word of the suggestion, with the blanks before it."""
        ghost = self.ghost
        if ghost and ghost.text:
            self._insert(ghost.text[: moves.word_right(ghost.text, 0)])
        else:
            self.take()

    def take_line(self) -> None:
        """Take the suggestion up to the end of the line; it is made longer if it does not reach that."""
        if self.ghost is None:
            self.take()
        else:
            self._wanted = LINE

    def _alternative(self, wanted: str) -> None:
        """Show the next or the previous alternative, or the first one where none was shown."""
        shown, self._hidden, self._asked = self.ghost is not None, False, True
        self._wanted = wanted if shown else SHOW

    def longer(self) -> None:
        """Double the length of suggestions, up to a limit, after which they are short again."""
        length = 2 * self.config.length
        if length > self._usual_length << DOUBLINGS:
            length = self._usual_length
        self.config, self._wanted = replace(self.config, length=length), SHOW
        self.message = f"suggestions of up to {length:,}"

    def _hide(self) -> None:
        self._hidden = True

    def _toggle_bits(self) -> None:
        self.show_bits = not self.show_bits

    def _begin_adjusting(self) -> None:
        self.adjusting = True

    def _adjust(self, key: str) -> None:
        name, step = STEPS[key]
        low, high = LIMITS[name]
        value = round(min(max(getattr(self.config, name) + step, low), high), 2)
        self.config, self._wanted = replace(self.config, **{name: value}), SHOW

    def type(self, text: str) -> None:
        """Insert what was typed, or pasted; answer a question. What is not UTF-8 becomes U+FFFD."""
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.message = ""
        if self.storage.asks:
            self.storage.type(text)
        else:
            self.adjusting = False
            self._insert(text, TYPED if len(text) == 1 else OTHER)

    def go_to(self, offset: int) -> None:
        """Move the cursor."""
        if offset != self.draft.cursor:
            self.draft.cursor = offset
            self._moved()

    def act(self, name: str) -> None:
        """Do what a key does, by the name of its action. Raises KeyError for an unknown name."""
        self.message = ""
        if self.storage.asks:
            self.storage.act(name)
        elif self.adjusting and name in STEPS:
            self._adjust(name)
        elif self.adjusting and name in ("hide", "enter", "settings"):
            self.adjusting = False
        else:
            self.adjusting = False
            self._action(name)()

    def _action(self, name: str) -> Callable[[], None]:
        if name in moves.MOVES:
            return lambda: self.go_to(moves.MOVES[name](self.draft.text, self.draft.cursor))
        if name in moves.DELETIONS:
            return lambda: self._delete(moves.DELETIONS[name](self.draft.text, self.draft.cursor))
        return {
            "take": self.take,
            "take_word": self.take_word,
            "take_line": self.take_line,
            "next": lambda: self._alternative(NEXT),
            "previous": lambda: self._alternative(PREVIOUS),
            "longer": self.longer,
            "hide": self._hide,
            "undo": lambda: self._travel(self.draft.undo, "there is nothing to undo"),
            "redo": lambda: self._travel(self.draft.redo, "there is nothing to redo"),
            "other": lambda: self._travel(self.draft.other_branch, "there is one branch: undo, then write another"),
            "settings": self._begin_adjusting,
            "bits": self._toggle_bits,
            "save": self.storage.save,
            "quit": self.storage.quit,
            "enter": lambda: self._insert("\n"),
        }[name]

    def _delete(self, end: int) -> None:
        first, last = sorted((self.draft.cursor, end))
        if first < last:
            self.draft.replace(first, last - first, "", DELETED if last - first == 1 else OTHER)
            self._moved()

    def _travel(self, go: Callable[[], bool], otherwise: str) -> None:
        if go():
            self._moved()
        else:
            self.message = otherwise
