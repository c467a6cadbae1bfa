"""Where a text that is being written is kept: its file, its recovery file, and the questions before either changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rnn_cli.errors import RnnError
from rnn_cli.writing.draft import OTHER, TYPED, Draft
from rnn_cli.writing.files import LARGEST, UNNAMED, TextFile
from rnn_cli.writing.recovery import Journal, Recovered, read_journal


class Question(NamedTuple):
    """A question, and what is done at each letter that answers it. Esc leaves it."""

    text: str
    answers: dict[str, Callable[[], None]]


class Storage:
    """Saves a draft, and writes down each of its changes. `say` takes sentences for the user.

    question  what the user has to answer first, if anything
    entry     the name that is being typed to save the text under; None if none is
    finished  whether the user has quit
    """

    def __init__(self, file: TextFile | None, say: Callable[[str], None]) -> None:
        self.file, self._say = file, say
        path = file.path if file else Path(UNNAMED)
        text = file.text if file else ""
        self._journal, self._recording = Journal(path, text), True
        self.draft = Draft(text, self._record)
        self.question: Question | None = None
        self.entry: str | None = None
        self.finished, self._quitting = False, False
        if file and file.crlf:
            say("the lines end in CR LF, which is kept")
        recovered = read_journal(path)
        if recovered and recovered.text != text:
            self._recover(recovered)

    def _record(self, offset: int, removed: str, inserted: str) -> None:
        if self._recording:
            self._journal.add(offset, removed, inserted, self.draft.text)
            if self._journal.problem:
                self._say(f"a kill would lose what is not saved ({self._journal.problem}); save soon")

    def fits(self, text: str) -> bool:
        """Say whether a text can be inserted, and the file be read again; tell the user if not."""
        size = len(self.draft.text) + len(text)
        if 4 * size > LARGEST and len((self.draft.text + text).encode()) > LARGEST:  # a character has up to 4 bytes
            self._say(f"the text would have more than {LARGEST:,} bytes")
            return False
        return True

    def _recover(self, recovered: Recovered) -> None:
        """Make the changes of a recovery file, which can be undone; further ones are added to it."""
        saved, self._recording = self.draft.text, False
        if recovered.base != saved:
            self.draft.replace(0, len(saved), recovered.base)
        for offset, count, inserted in recovered.changes:
            self.draft.replace(offset, count, inserted, OTHER if count or len(inserted) > 1 else TYPED)
        self._recording = True
        self._journal.resume(recovered)
        other = "; the file has changed since" if recovered.base != saved else ""
        self._say(f"recovered what was not saved{other}; Ctrl-Z goes back")

    def stop(self) -> None:
        """End: keep the recovery file if something is not saved."""
        if self.draft.modified:
            self._journal.close()
        else:
            self._journal.restart(self.draft.text)

    @property
    def asks(self) -> bool:
        """Whether what is typed is an answer."""
        return self.question is not None or self.entry is not None

    def type(self, text: str) -> None:
        """Answer the question, or add to the name."""
        if self.question is None:
            self.entry = (self.entry or "") + text.replace("\n", "")
        elif text.lower() in self.question.answers:
            answer = self.question.answers[text.lower()]
            self.question = None
            answer()

    def act(self, name: str) -> None:
        """Do what a key does to a question or a name, by its action: leave it, or take it."""
        if name == "hide":
            self.question, self.entry, self._quitting = None, None, False
        elif self.entry is not None and name == "backspace":
            self.entry = self.entry[:-1]
        elif self.entry and name == "enter":
            self._save_as(self.entry)

    def save(self) -> None:
        """Save the text; ask for a name if it has none, and before another program's changes are overwritten."""
        if self.file is None:
            self.entry = ""
        elif self.file.changed:
            text = f"'{self.file.path}' was changed by another program: o overwrites it, Esc leaves it"
            self.question = Question(text, {"o": self._write})
        else:
            self._write()

    def _write(self) -> None:
        assert self.file is not None
        try:
            self.file.save(self.draft.text)
        except OSError as error:
            self._quitting = False
            self._say(f"not saved: {error.strerror or error}")
            return
        self.draft.set_saved()
        self._journal.restart(self.draft.text)
        self._say(f"saved {len(self.draft.text):,} characters")
        self.finished = self._quitting

    def _save_as(self, name: str) -> None:
        """Save under a name; ask before another text is overwritten."""
        self.entry = None
        try:
            file = TextFile(os.path.expanduser(name))
        except RnnError as error:
            self._quitting = False
            self._say(str(error))
            return

        def write() -> None:
            self.file = file
            self._write()
            if self.draft.modified:
                self.file = None
            else:
                self._journal.move(file.path)

        if file.exists:
            self.question = Question(f"'{name}' exists: o overwrites it, Esc leaves it", {"o": write})
        else:
            write()

    def quit(self) -> None:
        """Quit; ask first what to do with what is not saved."""
        if not self.draft.modified:
            self.finished = True
            return
        answers = {"s": self._save_and_quit, "d": self._discard}
        self.question = Question("not saved: s saves and quits, d discards the changes, Esc writes on", answers)

    def _save_and_quit(self) -> None:
        self._quitting = True
        self.save()

    def _discard(self) -> None:
        self.draft.set_saved()
        self.finished = True
