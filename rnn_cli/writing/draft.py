"""A text that is being written, with the tree of its edits: undo forgets nothing, and each branch can be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

TYPED, DELETED, OTHER = "typed", "deleted", "other"  # kinds of edits; equal ones side by side are undone as one


@dataclass
class Edit:
    """At `offset` the text `removed` is replaced by `inserted`. `last` is the child that was visited last."""

    parent: Edit | None
    offset: int = 0
    removed: str = ""
    inserted: str = ""
    kind: str = OTHER
    children: list[Edit] = field(default_factory=list)
    last: int = 0


class Draft:
    """A text and its cursor. `changed` is called with (offset, removed, inserted) after each change."""

    def __init__(self, text: str = "", changed: Callable[[int, str, str], None] = lambda *change: None) -> None:
        self.text, self.cursor = text, len(text)
        self._saved, self._changed = text, changed
        self._root = self._now = Edit(None)

    @property
    def before(self) -> str:
        """The text before the cursor."""
        return self.text[: self.cursor]

    @property
    def modified(self) -> bool:
        """Whether the text differs from the one that was saved last."""
        return self.text != self._saved

    @property
    def at_line_end(self) -> bool:
        """Whether only blanks follow in the line of the cursor."""
        end = self.text.find("\n", self.cursor)
        return not self.text[self.cursor : end if end >= 0 else None].strip()

    def set_saved(self) -> None:
        """Note that the text was saved."""
        self._saved = self.text

    def replace(self, offset: int, count: int, inserted: str, kind: str = OTHER) -> None:
        """Replace `count` characters from an offset by others; the cursor comes after them."""
        removed = self.text[offset : offset + count]
        if removed == inserted:
            return
        if not self._continues(offset, removed, inserted, kind):
            edit = Edit(self._now, offset, removed, inserted, kind)
            self._now.children.append(edit)
            self._now.last = len(self._now.children) - 1
            self._now = edit
        self._apply(offset, removed, inserted)

    def insert(self, text: str, kind: str = OTHER) -> None:
        """Insert a text at the cursor."""
        self.replace(self.cursor, 0, text, kind)

    def _continues(self, offset: int, removed: str, inserted: str, kind: str) -> bool:
        """Add an edit to the last one if both are of one word; say whether that was so."""
        now = self._now
        if now.children or now.kind != kind or kind == OTHER:
            return False
        if kind == TYPED and not removed and offset == now.offset + len(now.inserted):
            if now.inserted[-1:].isspace() and not inserted.isspace():
                return False
            now.inserted += inserted
            return True
        if kind == DELETED and not (inserted or now.inserted) and offset + len(removed) == now.offset:
            now.offset, now.removed = offset, removed + now.removed
            return True
        return False

    def _apply(self, offset: int, removed: str, inserted: str) -> None:
        self.text = self.text[:offset] + inserted + self.text[offset + len(removed) :]
        self.cursor = offset + len(inserted)
        self._changed(offset, removed, inserted)

    def undo(self) -> bool:
        """Take the last edit back; say whether there was one."""
        edit = self._now
        if edit.parent is None:
            return False
        self._now = edit.parent
        self._apply(edit.offset, edit.inserted, edit.removed)
        return True

    def redo(self) -> bool:
        """Make the edit that was taken back last once more; say whether there was one."""
        if not self._now.children:
            return False
        self._now = self._now.children[self._now.last]
        self._apply(self._now.offset, self._now.removed, self._now.inserted)
        return True

    @property
    def branch(self) -> tuple[int, int]:
        """The number of the branch that the text is on, from 1, and the number of branches at the last fork."""
        fork = self._fork()
        return (fork.last + 1, len(fork.children)) if fork else (1, 1)

    def _fork(self) -> Edit | None:
        """Return the nearest edit, of the last one and those before it, after which the text went on in two ways."""
        edit: Edit | None = self._now
        while edit is not None and len(edit.children) < 2:
            edit = edit.parent
        return edit

    def other_branch(self) -> bool:
        """Go to the end of the next branch of the last fork; say whether there is one."""
        fork = self._fork()
        if fork is None:
            return False
        while self._now is not fork:
            self.undo()
        fork.last = (fork.last + 1) % len(fork.children)
        while self.redo():
            pass
        return True
