"""rnn write on a pseudo-terminal: keys, the screen, files, and what is left when it is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from commands import ENVIRONMENT, run, run_process
from random_models import SYMBOLS, make_checkpoint
from terminal import Terminal
from test_options import COMMANDS

from rnn_cli.checkpoint.checkpoint import save_checkpoint
from rnn_cli.text.codecs import ByteCodec, CharacterCodec, TokenCodec, WordCodec
from rnn_cli.writing.keys import KEYS
from rnn_cli.writing.recovery import read_journal

WRITE = ["write", "page.txt", "-m", "model", "--random-seed", "1"]
RECOVERY = ".page.txt.rnn-write"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a model of a stream with blanks and newlines."""
    save_checkpoint(tmp_path / "model", make_checkpoint(None, codec=CharacterCodec(SYMBOLS + " \n", False)))
    return tmp_path


def open_page(place: Path, *options: object, **values: Any) -> Terminal:
    """Return a terminal on which a page is written, when its screen is there."""
    terminal = Terminal(*WRITE, *options, cwd=place, **values)
    terminal.wait_for("^Q quit")
    return terminal


def page(place: Path) -> bytes:
    """Return what is saved."""
    return (place / "page.txt").read_bytes()


def files(place: Path) -> set[str]:
    """Return the names of the files beside the model."""
    return set(os.listdir(place)) - {"model"}


def test_a_page_is_written_with_the_model(place: Path) -> None:
    with open_page(place) as terminal:
        assert all(len(row) <= 80 for row in terminal.rows)
        terminal.send(" ab")
        terminal.wait(lambda: terminal.before_cursor() == "ab" and terminal.ghost())
        ghost = terminal.ghost()
        terminal.send("^N")
        terminal.wait(lambda: terminal.ghost() not in ("", ghost))
        terminal.send("^P")
        terminal.wait(lambda: terminal.ghost() == ghost)
        terminal.send(f" {ghost[0]}")
        terminal.wait(lambda: terminal.before_cursor() == f"ab{ghost[0]}" and terminal.ghost())
        assert terminal.ghost().startswith(ghost[1:])
        terminal.send("tab")
        terminal.wait(lambda: f"ab{ghost}" in terminal.before_cursor() or terminal.screen.cursor.y > 0)
        terminal.send("^Z", "^Z")
        terminal.wait(lambda: terminal.before_cursor() == "" and terminal.screen.cursor.y == 0)
        terminal.send("^Y")
        terminal.wait(lambda: terminal.before_cursor() == f"ab{ghost[0]}")
        terminal.send("escape")
        terminal.wait(lambda: not terminal.ghost())
        assert RECOVERY in files(place)
        terminal.send("^S")
        terminal.wait_for("saved 3 characters")
        assert page(place) == f"ab{ghost[0]}".encode()
        terminal.send("^Q")
        assert terminal.end() == 0
        assert terminal.output.endswith(b"\x1b[?1049l\x1b[0m\x1b[?25h") or b"\x1b[?1049l" in terminal.output
    assert files(place) == {"page.txt"}


def test_settings_bits_branches_and_movement(place: Path) -> None:
    with open_page(place, "-t", 0.5, "-l", 20) as terminal:
        terminal.wait_for("temp 0.5  top-p 1")
        terminal.send("^T", "up", "up", "left", "escape")
        terminal.wait_for("temp 0.7  top-p 0.95")
        terminal.send("^V")
        terminal.wait_for("bits last - line - text -")
        terminal.send(" ab", "enter", " cd")
        terminal.wait(lambda: re.search(r"bits last \d+\.\d line \d+\.\d text \d+\.\d", terminal.shown))
        terminal.send("^Z", " ef")
        terminal.wait_for("branch 2/2")
        terminal.send("^O")
        terminal.wait(lambda: terminal.before_cursor() == "cd")
        terminal.wait_for("branch 1/2")
        terminal.send("up", "home", " h", "down", "end", "backspace", "^A", " g")
        terminal.wait(lambda: terminal.rows[:2] == ["hab", "gc"])
        terminal.send("^R", "^S")
        terminal.wait_for("saved 6 characters")
        assert page(place) == b"hab\ngc"
        terminal.send("^X")
        assert terminal.end() == 0


def test_a_killed_program_loses_nothing(place: Path) -> None:
    (place / "page.txt").write_text("ab\n")
    with open_page(place) as terminal:
        terminal.send(" cd", "enter", " fe")
        terminal.wait(lambda: terminal.before_cursor() == "fe")
        assert terminal.end(signal.SIGKILL) == -signal.SIGKILL
    assert page(place) == b"ab\n"
    with open_page(place) as terminal:
        terminal.wait_for("recovered what was not saved; Ctrl-Z goes back")
        assert terminal.rows[:3] == ["ab", "cd", "fe" + terminal.ghost()]
        terminal.send(" h")
        terminal.wait(lambda: terminal.before_cursor() == "feh")
        assert terminal.end(signal.SIGKILL) == -signal.SIGKILL
    with open_page(place) as terminal:
        terminal.wait(lambda: terminal.before_cursor() == "feh")
        terminal.send("^Q")
        terminal.wait_for("not saved: s saves and quits")
        terminal.send(" s")
        assert terminal.end() == 0
    assert (page(place), files(place)) == (b"ab\ncd\nfeh", {"page.txt"})


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_what_is_not_saved(place: Path, number: signal.Signals) -> None:
    with open_page(place) as terminal:
        terminal.send(" abc")
        terminal.wait(lambda: terminal.before_cursor() == "abc")
        assert terminal.end(number) == 128 + number
        assert b"what is not saved is kept: rnn write page.txt recovers it" in terminal.output
    recovered = read_journal(place / "page.txt")
    assert recovered
    assert (recovered.text, files(place)) == ("abc", {RECOVERY})


def test_a_connection_that_drops_loses_nothing(place: Path) -> None:
    with open_page(place) as terminal:
        terminal.send(" abc")
        terminal.wait(lambda: terminal.before_cursor() == "abc" and terminal.ghost())
        terminal.send("tab")
        terminal.wait(lambda: terminal.before_cursor() != "abc")
        terminal.send(" d")
        terminal.wait(lambda: terminal.before_cursor().endswith("d"))
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP
    recovered = read_journal(place / "page.txt")
    assert recovered
    assert recovered.text.startswith("abc")
    assert recovered.text.endswith("d")
    assert files(place) == {RECOVERY}


def test_a_signal_leaves_nothing_if_all_is_saved(place: Path) -> None:
    (place / "page.txt").write_text("ab")
    with open_page(place) as terminal:
        terminal.send(" c", "backspace")
        terminal.wait(lambda: terminal.before_cursor() == "ab")
        terminal.wait(lambda: "page.txt*" not in terminal.shown)
        assert terminal.end(signal.SIGTERM) == 128 + signal.SIGTERM
        assert b"recovers" not in terminal.output
    assert files(place) == {"page.txt"}


def test_suggestions_keep_to_a_pattern(place: Path) -> None:
    with open_page(place, "--pattern", "(ab)+c") as terminal:
        terminal.send(" ab")
        terminal.wait(lambda: terminal.before_cursor() == "ab" and terminal.ghost())
        assert re.fullmatch("(ab)*(a|c\u21b5)?", terminal.ghost())
        terminal.send("^Q", " d")
        assert terminal.end() == 0


def test_the_screen_follows_the_size_of_the_terminal(place: Path) -> None:
    (place / "page.txt").write_text("the dog " * 12 + "sat\n")
    with open_page(place, "--forbid", SYMBOLS[1:] + "\n ") as terminal:
        terminal.wait(lambda: terminal.rows[0] == ("the dog " * 10).strip())
        terminal.resize(30, 10)
        terminal.wait(lambda: terminal.rows[0] == "the dog the dog the dog the" and "page.txt" in terminal.shown)
        terminal.wait(lambda: terminal.ghost())
        terminal.resize(30, 5)  # too low for the list of keys
        terminal.wait(lambda: "^N next" not in terminal.shown and "page.txt" in terminal.rows[4])
        terminal.resize(2, 2)
        terminal.send(" a")
        terminal.resize(120, 40)
        terminal.wait(lambda: terminal.rows[0] == ("the dog " * 12).strip() + " sat")
        terminal.wait(lambda: terminal.before_cursor() == "a")
        terminal.send("^Q", " d")
        assert terminal.end() == 0


HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b5m\x90\u202e\u2066\u200f\x7f\b"


def test_hostile_text_and_names_are_shown_harmless(place: Path) -> None:
    name = f"a{HOSTILE}b"
    (place / name).write_text(f"the {HOSTILE}\tcat\n{'x' * 20}", "utf-8")
    codec = CharacterCodec("".join(sorted(set(HOSTILE))), False)
    save_checkpoint(place / "model", make_checkpoint(None, codec=codec))
    with Terminal("write", name, "-m", "model", cwd=place) as terminal:
        terminal.wait_for("^Q quit")
        terminal.wait_for(r"the \x1b[2J\x1b]0;title\x07\x9b5m\x90\u202e\u2066\u200f\x7f\x08")
        terminal.wait(lambda: terminal.ghost())
        terminal.send("tab", "^S")
        terminal.wait_for("saved")
        terminal.send("^Q")
        assert terminal.end() == 0
        shown = terminal.output.decode("utf-8")
        assert not re.search("[\x07\x7f-\x9f\u202e\u2066\u200f]", shown.replace("\r\n", ""))
        assert "\x1b[2J\x1b]0" not in shown
        assert "\x1b]" not in shown


@pytest.mark.parametrize(
    "left, right, columns, line",
    [
        ("a.txt", ["temp 1", "bits 3"], 30, " a.txt         temp 1  bits 3 "),
        ("a.txt", ["temp 1", "bits 3"], 20, " a.txt       temp 1 "),
        ("a long sentence", ["temp 1"], 18, " a long sentence  "),
        ("a long sentence", ["temp 1"], 9, " a long  "),
        ("\u6f22\u5b57\x1b", [], 9, " \u6f22\u5b57\\x1 "),
    ],
)
def test_the_status_line_fits(left: str, right: list[str], columns: int, line: str) -> None:
    from rnn_cli.display.editor import in_columns

    assert in_columns(left, right, columns) == line


def test_changes_of_another_program_are_not_overwritten(place: Path) -> None:
    (place / "page.txt").write_text("ab")
    with open_page(place) as terminal:
        terminal.send(" c")
        (place / "page.txt").write_text("other")
        terminal.send("^S")
        terminal.wait_for("'page.txt' was changed by another program: o overwrites it")
        terminal.send("escape")
        terminal.wait(lambda: "overwrites" not in terminal.shown)
        assert page(place) == b"other"
        terminal.send("^S", " o")
        terminal.wait_for("saved 3 characters")
        assert page(place) == b"abc"
        terminal.send("^C")
        assert terminal.end() == 0


def test_two_cannot_write_one_text(place: Path) -> None:
    with open_page(place) as first, Terminal(*WRITE, cwd=place) as second:
        assert second.end() == 1
        assert f"another run (process {first.process.pid}) is writing 'page.txt'".encode() in second.output
        first.send("^Q")
        assert first.end() == 0


def test_a_text_without_a_name_gets_one(place: Path) -> None:
    with Terminal("write", "-m", "model", cwd=place) as terminal:
        terminal.wait_for("no name yet")
        terminal.send(" ab")
        terminal.wait(lambda: terminal.before_cursor() == "ab")
        assert terminal.end(signal.SIGTERM) == 128 + signal.SIGTERM
        assert b"kept: rnn write recovers it" in terminal.output
    with Terminal("write", "-m", "model", cwd=place, env={"HOME": str(place)}) as terminal:
        terminal.wait_for("recovered")
        terminal.send("^Q", " s")
        terminal.wait_for("save as:")
        terminal.send(" ~/\u00e9.txx", "backspace", " t", "enter")
        assert terminal.end() == 0
    assert (place / "\u00e9.txt").read_text("utf-8") == "ab"
    assert files(place) == {"\u00e9.txt"}


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"NO_COLOR": "1"}])
def test_text_is_utf8_whatever_the_locale(place: Path, locale: dict[str, str]) -> None:
    with open_page(place, env=locale) as terminal:
        terminal.send(" \u00e9\u20ac\U0001f600", " \udcff", " \x1b[200~b\r\nc\x1b[201~")
        terminal.wait(lambda: terminal.before_cursor() == "c")
        terminal.wait(lambda: terminal.ghost())
        assert (b"\x1b[38;5;" in terminal.output) == ("NO_COLOR" not in locale) or b"\x1b[0;90m" in terminal.output
        assert b"\x1b[0;4m" in terminal.output or "NO_COLOR" not in locale
        terminal.send("^S")
        terminal.wait_for("saved 7 characters")
    assert page(place).decode() == "\u00e9\u20ac\U0001f600\ufffdb\nc"


@pytest.mark.parametrize(
    "codec, text",
    [
        (CharacterCodec(SYMBOLS, True), "ab"),
        (ByteCodec(True), "ab"),
        (TokenCodec(("a", "b", "e\u0301"), True, "graphemes"), "a"),
        (WordCodec(("cat", "cats", "sat"), True), "sat ca"),
        (WordCodec(("cat", "cats", "sat"), False), "sat "),
    ],
    ids=["lines", "bytes", "graphemes", "words", "word stream"],
)
def test_every_kind_of_model_suggests(place: Path, codec: Any, text: str) -> None:
    save_checkpoint(place / "model", make_checkpoint(None, codec=codec, boundary_bias=-9.0))
    with open_page(place) as terminal:
        terminal.send(f" {text}")
        terminal.wait(lambda: terminal.before_cursor() == text and terminal.ghost())
        terminal.send("tab")
        terminal.wait(lambda: terminal.before_cursor() not in (text, ""))


def test_a_label_chooses_what_is_suggested(place: Path) -> None:
    (place / "data").write_text("one\tab\ntwo\tcd\n" * 30)
    small = ["--hidden-size", 16, "--steps", 300, "--random-seed", 1, "-q"]
    assert run("train", "data", "--labelled", *small, "-m", "model", "--overwrite", cwd=place).code == 0
    found = set()
    for label in ("one", "two"):
        with open_page(place, "--label", label, "-t", 0) as terminal:
            terminal.wait(lambda: terminal.ghost())
            found.add(terminal.ghost())
    assert len(found) == 2
    assert "name one of its 2 with --label" in run(*WRITE, cwd=place).stderr


def test_without_a_terminal_it_is_refused(place: Path) -> None:
    done = run(*WRITE, cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert "rnn write needs a terminal as stdin and stdout" in done.stderr
    done = run("write", "-", "-m", "model", cwd=place)
    assert (done.code, "rnn write changes a file" in done.stderr) == (2, True)
    with Terminal(*WRITE, cwd=place, env={"TERM": "dumb"}) as terminal:
        assert terminal.end() == 2
        assert b"TERM is dumb" in terminal.output
    assert files(place) == set()


def test_a_missing_library_is_named(place: Path) -> None:
    (place / "sitecustomize.py").write_text("import sys\nsys.modules['prompt_toolkit'] = None\n")
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run_process(*WRITE, cwd=place, env={**ENVIRONMENT, "PYTHONPATH": path})
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.strip().endswith("prompt_toolkit is missing; install it with: pip install 'rnn-cli[write]'")


WATCHED = """
import json, os, sys

events = []

def watch(event, arguments):
    if event.split(".")[0] in ("socket", "subprocess", "urllib", "webbrowser") or event in ("os.system", "os.exec"):
        events.append(event)
    elif event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        events.append(os.path.basename(arguments[0]))

sys.addaudithook(watch)
from rnn_cli.__main__ import main
code = main(sys.argv[1:])
open("events", "w").write(json.dumps([code, events]))
"""


def test_nothing_is_sent_and_only_the_text_written(place: Path) -> None:
    with open_page(place) as terminal:  # compiles
        terminal.send("^Q")
        terminal.end()
    with open_page(place, program=[sys.executable, "-c", WATCHED]) as terminal:
        terminal.send(" ab", "tab", "^S")
        terminal.wait_for("saved")
        terminal.send("^Q")
        terminal.end()
    code, events = json.loads((place / "events").read_text())
    assert code == 0
    # The loop of events wakes itself by a pair of sockets, which lead nowhere.
    sockets = {event for event in events if event.startswith("socket.")}
    assert sockets <= {"socket.__new__"}
    written = {re.sub(r"^\.(page\.txt)\..*\.tmp$", r"\1", event) for event in events} - sockets
    assert written <= {"page.txt", RECOVERY, ".page.txt.lock", "events", "null"}


def test_the_example_of_the_help_runs(place: Path) -> None:
    (example,) = re.findall(r"Example: rnn (.*)", COMMANDS["write"].help)
    os.rename(place / "model", place / "model.safetensors")
    with Terminal(*example.split(), cwd=place) as terminal:
        terminal.wait_for("^Q quit")
        terminal.send("^Q")
        assert terminal.end() == 0


DOCUMENT = Path(__file__).parents[2] / "docs" / "writing.md"
SCREEN = re.compile(r"(?<=<!-- the screen -->\n```text\n).*?(?=```)", re.DOTALL)
TABLE = re.compile(r"(?<=<!-- the keys -->\n).*?(?=\n\n[^|])", re.DOTALL)


def documented_screen(place: Path) -> str:
    """Return the screen of the document, with a mark at the cursor."""
    corpora = Path(__file__).parents[2] / "corpora"
    train = ["train", corpora / "stars.txt", "-m", "stars.safetensors", "--steps", 300, "--random-seed", 1, "-q"]
    assert run(*train, cwd=place).code == 0
    options = ["names.txt", "-m", "stars.safetensors", "--random-seed", 1]
    with Terminal("write", *options, cwd=place, rows=12) as terminal:
        terminal.wait(lambda: terminal.ghost())
        terminal.send(" Vega", "enter", " A")
        terminal.wait(lambda: terminal.before_cursor() == "A" and terminal.ghost())
        rows, y = terminal.rows, terminal.screen.cursor.y
        rows[y] = f"{terminal.before_cursor()}\u258f{rows[y].removeprefix(terminal.before_cursor())}"
        return "\n".join(rows) + "\n"


def documented_keys() -> str:
    """Return the table of the keys."""
    return "\n".join(["", "| key | what it does |", "| --- | --- |", *(f"| {key.name} | {key.does} |" for key in KEYS)])


def test_the_document_shows_the_screen(place: Path) -> None:
    (shown,) = SCREEN.findall(DOCUMENT.read_text("utf-8"))
    found = documented_screen(place)
    as_typed, rest = found.splitlines()[:2], found.splitlines()[2:]
    assert [line.partition("\u258f")[0] for line in as_typed] == ["Vega", "A"]
    assert shown.splitlines()[2:] == rest
    assert [line.partition("\u258f")[0] for line in shown.splitlines()[:2]] == ["Vega", "A"]


def test_the_document_lists_the_keys() -> None:
    assert TABLE.findall(DOCUMENT.read_text("utf-8")) == [documented_keys()]


def test_the_help_names_every_key() -> None:
    shown = " ".join(run("write", "--help").text.split())
    for key in KEYS:
        assert re.search(rf"\b{key.name}\b", shown), key.name


if __name__ == "__main__":  # writes the screen and the keys into the document
    with tempfile.TemporaryDirectory() as folder:
        text = SCREEN.sub(lambda match: documented_screen(Path(folder)), DOCUMENT.read_text("utf-8"))
    DOCUMENT.write_text(TABLE.sub(lambda match: documented_keys(), text), "utf-8")
