"""A text is saved whole, nothing of another program is overwritten unasked, and a kill loses nothing."""

import json
import os
import stat

import pytest

from rnn_cli.errors import UsageError
from rnn_cli.writing.files import LARGEST, TextFile
from rnn_cli.writing.recovery import Journal, journal_path, read_journal
from rnn_cli.writing.storage import Storage


@pytest.fixture
def path(tmp_path):
    return tmp_path / "page.txt"


def open_storage(path):
    """Return a storage and what it has said."""
    said = []
    return Storage(TextFile(str(path)) if path else None, said.append), said


def files(path):
    return sorted(os.listdir(path.parent))


def test_a_text_is_saved_and_leaves_nothing_else(path):
    storage, said = open_storage(path)
    storage.draft.insert("the cat\n")
    assert files(path) == [".page.txt.rnn-write"]
    storage.save()
    storage.stop()
    assert (path.read_text(), files(path), said) == ("the cat\n", ["page.txt"], ["saved 8 characters"])


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfone\r\ntwo\r\n", b"\xef\xbb\xbf", b"one\r\ntwo\n", b"\0\x1b[2J\r", b""])
def test_bytes_that_were_not_changed_stay(path, data):
    path.write_bytes(data)
    storage, _ = open_storage(path)
    storage.draft.insert("x")
    storage.draft.undo()
    storage.save()
    assert path.read_bytes() == data


def test_line_ends_and_a_mark_are_kept(path):
    path.write_bytes(b"\xef\xbb\xbfone\r\n")
    storage, said = open_storage(path)
    assert (storage.draft.text, said) == ("one\n", ["the lines end in CR LF, which is kept"])
    storage.draft.insert("two\n")
    storage.save()
    assert path.read_bytes() == b"\xef\xbb\xbfone\r\ntwo\r\n"


@pytest.mark.parametrize(
    "data, words",
    [
        (b"ab\xff", "byte 3"),
        ("ab".encode("utf-16"), "UTF-16"),
        (b"\x1f\x8b\x08\0", "byte 2"),
        (b"a" * (LARGEST + 1), "may have"),
    ],
)
def test_what_is_no_text_is_refused(path, data, words):
    path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        TextFile(str(path))
    assert path.read_bytes() == data


def test_what_is_no_file_is_refused(path):
    for name, words in ((path.parent, "directory"), (path / "x", "no directory"), ("/dev/null", "not a regular file")):
        with pytest.raises(UsageError, match=words):
            TextFile(str(name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_only_be_read_is_refused(path):
    path.write_text("a")
    path.chmod(0o444)
    with pytest.raises(UsageError, match="may only be read"):
        TextFile(str(path))


def test_changes_of_another_program_are_asked_about(path):
    path.write_text("one")
    storage, said = open_storage(path)
    storage.draft.insert(" two")
    path.write_text("other")
    storage.save()
    assert "changed by another program" in storage.question.text
    storage.act("hide")
    assert (path.read_text(), storage.question) == ("other", None)
    storage.save()
    storage.type("x")
    assert path.read_text() == "other"
    storage.type("o")
    assert (path.read_text(), said) == ("one two", ["saved 7 characters"])
    storage.draft.insert("!")
    os.utime(path)  # the same content: nothing to ask
    storage.save()
    assert path.read_text() == "one two!"
    os.unlink(path)
    storage.save()
    assert path.read_text() == "one two!"


def test_a_failure_to_save_is_said(path, monkeypatch):
    storage, said = open_storage(path)
    storage.draft.insert("a")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rnn_cli.writing.files.write_atomically", full)
    storage.quit()
    storage.type("s")
    assert (said, storage.finished, storage.draft.modified) == (["not saved: No space left on device"], False, True)


def test_quitting_asks_what_to_do(path):
    for letter, text, left in (("s", "a", ["page.txt"]), ("d", "a", ["page.txt"])):
        storage, _ = open_storage(path)
        storage.draft.insert("a" if letter == "s" else "b")
        storage.quit()
        assert not storage.finished
        storage.act("hide")
        assert storage.question is None
        storage.quit()
        storage.type(letter.upper())
        assert storage.finished
        storage.stop()
        assert (path.read_text(), files(path)) == (text, left)


def test_a_name_is_asked_for(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    path.write_text("mine")
    storage, said = open_storage(None)
    storage.draft.insert("a")
    assert files(path) == [".untitled.rnn-write", "page.txt"]
    for name in ("nowhere/x", "page.txt"):
        storage.save()
        storage.type(f"{name}z")
        storage.act("backspace")
        storage.act("enter")
    assert "no directory" in said[0]
    assert "exists" in storage.question.text
    storage.act("hide")
    assert path.read_text() == "mine"
    storage.save()
    storage.type("new")
    storage.act("enter")
    assert ((tmp_path / "new").read_text(), storage.draft.modified) == ("a", False)
    storage.draft.insert("b")
    assert files(path) == [".new.rnn-write", "new", "page.txt"]
    storage.save()
    assert ((tmp_path / "new").read_text(), files(path)) == ("ab", ["new", "page.txt"])


def test_a_killed_draft_is_recovered_with_its_history(path):
    path.write_text("one ")
    killed, _ = open_storage(path)
    killed.draft.insert("two ")
    killed.draft.insert("three")
    killed.draft.undo()
    killed.draft.insert("3")
    for expected in ("one two 3", "one two 3!"):
        storage, said = open_storage(path)
        assert (storage.draft.text, said) == (expected, ["recovered what was not saved; Ctrl-Z goes back"])
        assert path.read_text() == "one "
        if expected[-1] != "!":
            storage.draft.insert("!")  # and killed again
    seen = []
    while storage.draft.undo():
        seen.append(storage.draft.text)
    assert seen[-1] == "one "
    assert "one two three" in seen
    storage.stop()
    assert files(path) == ["page.txt"]


def test_a_file_that_changed_since_is_told(path):
    path.write_text("one")
    open_storage(path)[0].draft.insert(" two")
    path.write_text("other")
    storage, said = open_storage(path)
    assert (storage.draft.text, said) == (
        "one two",
        ["recovered what was not saved; the file has changed since; Ctrl-Z goes back"],
    )
    while storage.draft.undo():
        pass
    assert (storage.draft.text, storage.draft.modified) == ("other", False)


def test_a_recovery_file_that_says_the_same_is_removed(path):
    storage, _ = open_storage(path)
    storage.draft.insert("a")
    path.write_text("a")  # saved, and killed before the recovery file was removed
    storage, said = open_storage(path)
    assert (storage.draft.text, said) == ("a", [])
    storage.stop()
    assert files(path) == ["page.txt"]


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_recovery_file_cut_anywhere_is_of_use(path, cut):
    journal = Journal(path, "ab\u00e9")
    for offset, removed, inserted in ((3, "", "c\n"), (0, "ab", ""), (1, "", "\U0001f600")):
        journal.add(offset, removed, inserted, "not needed")
    whole = journal_path(path).read_bytes()
    texts = ["ab\u00e9", "ab\u00e9c\n", "\u00e9c\n", "\u00e9\U0001f600c\n"]
    assert read_journal(path).text == texts[-1]
    journal_path(path).write_bytes(whole[:-cut])
    found = read_journal(path)
    assert found.text in texts[:-1]
    journal = Journal(path, found.base)
    journal.resume(found)
    journal.add(0, "", "x", "not needed")
    assert read_journal(path).text == f"x{found.text}"


HEAD = b'{"rnn write": 1, "base": "abc"}\n'


@pytest.mark.parametrize(
    "lines, text",
    [
        (b"", None),
        (b"\n", None),
        (b"[]\n", None),
        (b'{"rnn write": 2, "base": "abc"}\n', None),
        (b'{"rnn write": 1, "base": "\\ud800"}\n', None),
        (b'{"rnn write": 1}\n', None),
        (b"[" * 100_000 + b"\n", None),
        (b"\xff\xfe\n", None),
        (HEAD, "abc"),
        (HEAD + b'[3, 0, "d"]\n[9, 0, "e"]\n[0, 0, "f"]\n', "abcd"),
        (HEAD + b'[-1, 0, "d"]\n', "abc"),
        (HEAD + b'[0, 4, "d"]\n', "abc"),
        (HEAD + b'[0, 1e3, "d"]\n', "abc"),
        (HEAD + b'[0, 0, "\\udcff"]\n', "abc"),
        (HEAD + b"[" * 100_000 + b"\n", "abc"),
    ],
)
def test_damaged_recovery_files_do_no_harm(path, lines, text):
    journal_path(path).write_bytes(lines)
    found = read_journal(path)
    assert (found and found.text) == text


def test_recovery_files_of_others_are_not_read(path, tmp_path):
    (tmp_path / "secret").write_bytes(HEAD)
    journal_path(path).symlink_to(tmp_path / "secret")
    assert read_journal(path) is None
    storage, said = open_storage(path)
    storage.draft.insert("a")
    assert (tmp_path / "secret").read_bytes() == HEAD
    assert "a kill would lose" in said[-1]
    storage.save()
    assert path.read_text() == "a"
    os.unlink(journal_path(path)) if journal_path(path).is_symlink() else None
    os.mkfifo(journal_path(path))
    assert read_journal(path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_recovery_file_that_was_given_is_not_read(path):
    journal_path(path).write_bytes(HEAD)
    os.chown(journal_path(path), 1234, -1)
    assert read_journal(path) is None


def test_a_recovery_file_is_private(path):
    storage, _ = open_storage(path)
    storage.draft.insert("a")
    status = os.stat(journal_path(path))
    assert stat.S_IMODE(status.st_mode) == 0o600
    first, second = journal_path(path).read_text().splitlines()
    assert (json.loads(first), json.loads(second)) == ({"rnn write": 1, "base": ""}, [0, 0, "a"])


@pytest.mark.parametrize("first", [0, 1, 3])
def test_changes_after_a_failure_are_not_lost(path, monkeypatch, first):
    """Calls of write are cut short or fail; what was written down afterwards is the whole text again."""
    path.write_text("ab")
    storage, said = open_storage(path)
    calls, write = [], os.write

    def failing(descriptor, data):
        calls.append(len(data))
        if first <= len(calls) - 1 < first + 2:
            write(descriptor, bytes(data)[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", failing)
    for letter in "cdefgh":
        storage.draft.insert(letter)
    assert (len(said), "No space left on device" in said[0]) == (2, True)
    assert read_journal(path).text == "abcdefgh"
    assert stat.S_IMODE(os.stat(journal_path(path)).st_mode) == 0o600
    assert files(path) == [".page.txt.rnn-write", "page.txt"]
    again, _ = open_storage(path)
    assert again.draft.text == "abcdefgh"


def test_a_text_does_not_grow_beyond_what_can_be_read(path):
    path.write_text("a" * (LARGEST - 2))
    storage, said = open_storage(path)
    assert storage.fits("bc")
    assert not storage.fits("\u00e9b")
    assert said == ["the text would have more than 4,194,304 bytes"]
