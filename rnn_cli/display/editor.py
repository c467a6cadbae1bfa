"""The screen of rnn write. The only importer of prompt_toolkit."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any, Literal, TextIO

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import ConditionalContainer, HSplit, Layout, UIContent, UIControl, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from rnn_cli.display.stdout import visible
from rnn_cli.display.text_layout import TextLayout, columns_of, shown
from rnn_cli.signals import STOPPING, Stopped
from rnn_cli.writing.keys import KEYS, MOVES
from rnn_cli.writing.session import Session
from rnn_cli.writing.suggestions import Answer, Suggester
from rnn_cli.writing.worker import Worker

END = "↵"  # where the model ends the line
ESCAPE_SECONDS = 0.05  # that Esc waits for what might follow it, as in the codes of other keys
LOW = 8  # rows of a screen on which the keys are not listed
COLOURS = {"ghost": "ansibrightblack", "status": "reverse", "hint": "bold"}


class TextControl(UIControl):
    """Shows the text of a session with the suggestion after the cursor."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.columns, self.height = 80, 20
        self._top = 0  # offset of the first row that is shown

    def create_content(self, width: int, height: int) -> UIContent:
        """Return the rows that are shown; the window itself never scrolls, as it would need all rows for that."""
        self.columns, self.height = width, height
        draft, ghost = self._session.draft, self._session.ghost
        suggested = ghost.text + (END if ghost.ended else "") if ghost else ""
        start, end = draft.cursor, draft.cursor + len(suggested)
        layout = TextLayout(draft.before + suggested + draft.text[start:], width, get_cwidth)

        rows = layout.visible(self._top, start, max(1, height))
        self._top = rows[0]

        def line(number: int) -> StyleAndTextTuples:
            first, last = layout.row(rows[number])
            marks = sorted({first, last, *(mark for mark in (start, end) if first < mark < last)})
            parts: StyleAndTextTuples = [
                ("class:ghost" if start <= left < end else "", "".join(map(shown, layout.text[left:right])))
                for left, right in pairwise(marks)
            ]
            return [*parts, ("", " ")]  # for the cursor, which needs a character to stand on

        row = layout.row(start)[0]
        characters = sum(len(shown(each)) for each in layout.text[row:start])
        return UIContent(line, len(rows), Point(characters, rows.index(row)), show_cursor=True)

    def is_focusable(self) -> bool:
        """Say that keys go to the text."""
        return True

    def vertical(self, rows: int) -> None:
        """Move the cursor up or down."""
        draft = self._session.draft
        self._session.go_to(TextLayout(draft.text, self.columns, get_cwidth).moved(draft.cursor, rows))


class Editor:
    """Runs a session on a terminal, with a thread that answers its requests."""

    def __init__(self, session: Session, suggester: Suggester, stdin: TextIO, stdout: TextIO) -> None:
        self.session = session
        self._suggester = suggester
        self._control = TextControl(session)
        self._failure: BaseException | None = None
        self._worker: Worker | None = None
        self._before: dict[int, Any] = {}  # what signals did
        plain = bool(os.environ.get("NO_COLOR"))
        text = Window(self._control, wrap_lines=False)
        status = Window(FormattedTextControl(self._status), height=1, style="class:status")
        hints = Window(FormattedTextControl(self._hints), height=2)
        tall = Condition(lambda: self._app.output.get_size().rows > LOW)
        self._app: Application[int] = Application(
            Layout(HSplit([text, status, ConditionalContainer(hints, tall)]), focused_element=text),
            key_bindings=self._bindings(),
            style=Style.from_dict({**COLOURS, **({"ghost": "underline"} if plain else {})}),
            full_screen=True,
            input=Vt100Input(stdin),
            output=Vt100_Output.from_pty(stdout, term=os.environ.get("TERM")),
        )
        self._app.ttimeoutlen = self._app.timeoutlen = ESCAPE_SECONDS

    def run(self) -> None:
        """Let the user write, until the session is finished. Raises Stopped at a signal, and if the terminal is gone.

        In any case the recovery file has what is not saved.
        """
        try:
            self._app.run(pre_run=self._begin, handle_sigint=False, set_exception_handler=False)
        except (EOFError, OSError) as error:
            self._failure = error
        finally:
            self._end()
        if isinstance(self._failure, EOFError | OSError):  # the terminal is gone
            raise Stopped(getattr(signal, "SIGHUP", signal.SIGTERM)) from self._failure
        if self._failure:
            raise self._failure

    def _begin(self) -> None:
        loop = self._app.loop
        assert loop is not None

        def answered(answer: Answer | Exception) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._receive, answer)

        loop.set_exception_handler(lambda loop, context: self._fail(context.get("exception")))
        self._worker = Worker(self._suggester, answered)
        for number in STOPPING:
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:
                self._before[number] = before
                loop.add_signal_handler(number, self._stop, number)
        self._request()

    def _end(self) -> None:
        self.session.storage.stop()
        if self._worker:
            self._worker.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int) -> None:
        """End at a signal, once the recovery file is as it should be: the terminal may be gone."""
        self.session.storage.stop()
        if not self._app.is_done:
            self._app.exit(exception=Stopped(number))

    def _receive(self, answer: Answer | Exception) -> None:
        if isinstance(answer, Exception):
            self._fail(answer)
            return
        self.session.receive(answer)
        self._request()
        self._app.invalidate()

    def _fail(self, error: BaseException | None) -> None:
        """End because of an error, which `run` raises."""
        if error and not self._failure:
            self._failure = error
            if not self._app.is_done:
                self._app.exit(result=1)

    def _request(self) -> None:
        request = self.session.next_request()
        if request and self._worker:
            self._worker.ask(request)

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        def on(code: str, action: Callable[[KeyPressEvent], None]) -> None:
            @bindings.add(code)
            def pressed(event: KeyPressEvent) -> None:
                action(event)
                self._request()
                if self.session.storage.finished and not self._app.is_done:
                    self._app.exit(result=0)

        for key in (*KEYS, *MOVES):
            for code in key.codes:
                on(code, lambda event, name=key.action: self._act(name))  # type: ignore[misc]
        on(Keys.Any, lambda event: self.session.type(event.data))
        on(Keys.BracketedPaste, lambda event: self.session.type(event.data))
        return bindings

    def _act(self, name: str) -> None:
        rows = {"up": -1, "down": 1, "page_up": 1 - self._control.height, "page_down": self._control.height - 1}
        if name == "redraw":
            self._app.renderer.clear()
        elif name in rows and not self.session.adjusting and not self.session.storage.asks:
            self.session.message = ""
            self._control.vertical(rows[name])
        elif name not in ("page_up", "page_down"):
            self.session.act(name)

    def _status(self) -> str:
        """Return the line between the text and the keys: the file and what was said; the settings at the right."""
        session, storage = self.session, self.session.storage
        right = [f"temp {session.config.temperature:g}", f"top-p {session.config.top_p:g}"]
        if storage.question:
            return in_columns(storage.question.text, [], self._control.columns)
        if storage.entry is not None:
            return in_columns(f"save as: {storage.entry}▏", [], self._control.columns)
        if session.adjusting:
            return in_columns("up, down: temperature   left, right: top-p   Esc: done", right, self._control.columns)
        if session.suggestion and session.suggestion.index:
            right.append(f"no. {session.suggestion.index + 1}")
        branch, branches = session.draft.branch
        if branches > 1:
            right.append(f"branch {branch}/{branches}")
        if session.show_bits:
            right.append(bits_of(session))
        name = str(storage.file.path) if storage.file else "no name yet"
        message = f"  {session.message}" if session.message else ""
        return in_columns(f"{name}{'*' * session.draft.modified}{message}", right, self._control.columns)

    def _hints(self) -> StyleAndTextTuples:
        """Return two lines of keys, as many as there is room for."""
        found: StyleAndTextTuples = []
        lines, used = 1, 0
        for key in KEYS:
            name = key.name.replace("Ctrl-", "^")
            size = len(f"{name} {key.hint}  ")
            if not key.hint:
                continue
            if used + size > self._control.columns:
                found.append(("", "\n"))
                lines, used = lines + 1, 0
            if lines > 2:
                break
            found += [("class:hint", name), ("", f" {key.hint}  ")]
            used += size
        return found


def in_columns(left: str, right: Sequence[str], columns: int) -> str:
    """Return a line with a text at its left end, and of some at its right as many as there is room for."""
    left, count = visible(left), len(right)
    while count and columns_of(left, get_cwidth) + len("   ".join(right[:count])) + 3 > columns:
        count -= 1
    end = "  ".join(right[:count])
    room = max(0, columns - len(end) - 2)
    while columns_of(left, get_cwidth) > room:
        left = left[:-1]
    return f" {left}{' ' * (room - columns_of(left, get_cwidth))}{end} "


def bits_of(session: Session) -> str:
    """Return the bits of the text before the cursor: of the last symbol, and the means over the line and the text."""
    values = {"last": session.bits.last, "line": session.bits.line, "text": session.bits.text}
    return "bits " + " ".join(f"{name} {'-' if bits is None else f'{bits:.1f}'}" for name, bits in values.items())


def edit(session: Session, suggester: Suggester) -> None:
    """Let the user write on this process's terminal. Text is UTF-8 whatever the locale."""
    gc.freeze()  # or the collector would look at all of the compiler's objects now and then, for a quarter of a second
    with in_utf8(sys.stdin, "r") as stdin, in_utf8(sys.stdout, "w") as stdout:
        Editor(session, suggester, stdin, stdout).run()


@contextmanager
def in_utf8(stream: TextIO, mode: Literal["r", "w"]) -> Iterator[TextIO]:
    """Open a stream once more, in UTF-8. What cannot be written because the terminal is gone is left out."""
    again = open(os.dup(stream.fileno()), mode, encoding="utf-8")  # noqa: SIM115
    try:
        yield again
    finally:
        with suppress(OSError):
            again.close()
