"""What people see: safe text, progress, tables; on a terminal (a pseudo one) and in a pipe."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import unicodedata
from typing import Any

import pytest
from rich.cells import cell_len

from rnn_cli.display.columns import table_and_list
from rnn_cli.display.progress import ScoringDisplay, TrainingDisplay
from rnn_cli.display.report_line import format_count, format_time, live_line, plain_line, validation_line
from rnn_cli.display.stdout import TextWriter, visible
from rnn_cli.display.tables import bars, confusion_table, curve, key_values, walk

VALUES = {
    "step": 1200,
    "epoch": 1.5,
    "seconds": 60.0,
    "units_per_second": 1.234e6,
    "loss": 1.2345,
    "validation_loss": None,
    "learning_rate": 0.00123,
    "grad_norm": 0.5432,
}
HOSTILE = "[bold]a[/foo] :smile: \x1b[2J\u202e\n"
SHOWN = r"[bold]a[/foo] :smile: \x1b[2J\u202e"


def on_terminal(code: str, **environment: str) -> str:
    """Return what a program writes to a terminal of 80 columns, both stdout and stderr."""
    names = {name: value for name, value in os.environ.items() if not name.startswith(("NO_COLOR", "FORCE_"))}
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**names, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )
    os.close(follower)
    written = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError as error:  # Linux says so when the other end is closed
            if error.errno != errno.EIO:
                raise
            piece = b""
        if not piece:
            break
        written += piece
    os.close(leader)
    assert process.wait() == 0, written
    return written.decode().replace("\r\n", "\n")


def test_visible_escapes_control_and_hidden_characters() -> None:
    assert visible("a\x1b[0m\x00\t\r\n\x7f\x9b") == r"a\x1b[0m\x00\t\r\n\x7f\x9b"
    assert visible("\u202e\u2066\u200e\u061c\u2028\u200b\ufeff\ud800") == (
        r"\u202e\u2066\u200e\u061c\u2028\u200b\ufeff\ud800"
    )
    assert visible("a\tb\r\n\x0b", keep_newlines=True) == "a\tb\\r\n\\x0b"


def test_visible_changes_control_characters_only() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    changed = {character for character in every if visible(character) != character}
    assert changed >= {character for character in every if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs")}
    direction = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert changed >= {character for character in every if unicodedata.bidirectional(character) in direction}
    assert {unicodedata.category(character) for character in changed} == {"Cc", "Zl", "Zp", "Cs", "Cf"}
    assert visible("\u0928\u092e\u200d \u4e2d \U0001f600 e\u0301\\") == "\u0928\u092e\u200d \u4e2d \U0001f600 e\u0301\\"


def test_writer_is_exact_in_a_pipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    print("before")
    writer = TextWriter()
    assert not writer.terminal
    data = bytes(range(256)) + "\u202e\u4e2d".encode()
    for byte in data:
        writer.write(bytes([byte]))
    writer.write_line("\x1b\u4e2d\ud800")
    writer.close()
    assert capfdbinary.readouterr().out == b"before\n" + data + "\x1b\u4e2d\\ud800\n".encode()


@pytest.mark.parametrize("raw", [False, True])
def test_writer_escapes_on_a_terminal(raw: bool) -> None:
    code = f"""
from rnn_cli.display.stdout import TextWriter
writer = TextWriter(raw={raw})
for byte in "\\u4e2d\\x1b[1m\\u202e\\n\\t.".encode() + b"\\xff\\xe4\\xb8":
    writer.write(bytes([byte]))
writer.close()
assert writer.terminal
"""
    if raw:
        code = code.replace(r'b"\xff\xe4\xb8"', 'b""')
    expected = "\u4e2d\x1b[1m\u202e\n\t." if raw else "\u4e2d\\x1b[1m\\u202e\n\t.\ufffd\ufffd"
    assert on_terminal(code) == expected


def test_lines_hold_the_values() -> None:
    assert plain_line(VALUES, 0.24, 201, 1.3253) == (
        "step 1200 (24%), epoch 1.50, 3:21 left, loss 1.234, 1.781 bits/char, validation 1.912 bits/char, "
        "learning rate 0.0012, gradient norm 0.54, 1.23M chars/s"
    )
    assert plain_line(VALUES, None, None, None) == (
        "step 1200, epoch 1.50, loss 1.234, 1.781 bits/char, learning rate 0.0012, gradient norm 0.54, 1.23M chars/s"
    )
    assert live_line(VALUES, 0.24, 201, 1.3253, 79) == (
        "24%  ETA 3:21  loss 1.234  bits 1.78  val 1.91  lr 0.0012  norm 0.54  1.23M/s"
    )
    assert validation_line({**VALUES, "validation_loss": 1.317}) == (
        "step 1200, epoch 1.50: 1.781 bits/char, validation 1.900 bits/char"
    )


def test_lines_of_a_task_with_a_score() -> None:
    assert plain_line(VALUES, None, None, 1.3253, 0.917, "label") == (
        "step 1200, epoch 1.50, loss 1.234, 1.781 bits/label, validation 1.912 bits/label, score 91.7%, "
        "learning rate 0.0012, gradient norm 0.54, 1.23M labels/s"
    )
    assert "val 1.91  score 91.7%  lr" in live_line(VALUES, 0.24, 201, 1.3253, 79, 0.917)
    measured = {**VALUES, "validation_loss": 1.317, "validation_score": 0.917}
    assert validation_line(measured, "tag").endswith("1.781 bits/tag, validation 1.900 bits/tag, score 91.7%")


@pytest.mark.parametrize("width", [1, 20, 40, 79])
def test_the_live_line_never_wraps(width: int) -> None:
    worst = {**VALUES, "loss": 1e30, "grad_norm": float("nan"), "step": 10**9}
    assert len(live_line(VALUES, None, 1e6, 1.9, width)) <= max(width, len("step 1200"))
    assert len(live_line(worst, 1.0, 1e9, 1e30, width)) <= max(width, len("100%"))


def test_numbers_for_people() -> None:
    assert [format_time(seconds) for seconds in (0, 59.6, 3599, 3600, 359_999, 360_000)] == [
        "0:00", "1:00", "59:59", "1h00m", "99h59m", "4d04h"
    ]  # fmt: skip
    assert [format_count(number) for number in (0, 999, 12_345, 999_600, 1.234e6, 5e9)] == [
        "0", "999", "12.3k", "1M", "1.23M", "5G"
    ]  # fmt: skip


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_progress_every_ten_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    clock = Clock()
    with TrainingDisplay(False, clock=clock) as display:
        display.note(HOSTILE.strip("\n"))
        display.sample("two\n" + HOSTILE)
        for second in range(25):
            clock.now = float(second)
            measured = 1.317 if second == 5 else None
            values = {**VALUES, "step": second, "validation_loss": measured}
            display.report(values, second / 25, 25 - second)
    output, error = capsys.readouterr()
    lines = error.splitlines()
    assert output == ""
    assert "\x1b" not in error
    assert lines[:3] == [SHOWN, "  | two", f"  | {SHOWN}"]
    assert [line.split()[1] for line in lines[3:]] == ["10", "20", "24"]
    assert all("validation 1.900 bits/char" in line for line in lines[3:])


def test_the_last_line_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with TrainingDisplay(False, clock=clock) as display:
        clock.now = 11
        display.report(VALUES)
        display.close()
    assert capsys.readouterr().err.count("step 1200") == 1


def test_scoring_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with ScoringDisplay(False, 2000, clock=clock) as display:
        for second in range(12):
            clock.now = float(second)
            display.advance(100)
    assert capsys.readouterr().err == "55% of 2,000 characters scored\n"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with TrainingDisplay(True, clock=clock) as display, ScoringDisplay(True, 10, clock=clock) as scoring:
        clock.now = 100
        display.note("note")
        display.sample("sample")
        display.report(VALUES)
        scoring.advance(10)
    assert capsys.readouterr() == ("", "")


def test_a_training_outlives_its_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        tries = 0

        def isatty(self) -> bool:
            return False

        def write(self, text: str) -> int:
            self.tries += 1
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stderr", gone := Gone())
    with TrainingDisplay(False) as display:
        display.note("one")
        display.note("two")
        display.report(VALUES)
    assert gone.tries == 1


TRAINING = f"""
from rnn_cli.display.progress import TrainingDisplay
now = 0.0
values = {VALUES!r}
with TrainingDisplay(False, clock=lambda: now) as display:
    display.note({HOSTILE.strip()!r} + "long " * 30)
    for step in range(100):
        now += 0.05
        measured = 1.317 if step == 50 else None
        display.report({{**values, "step": step, "validation_loss": measured}}, step / 100, 60.0)
        if step == 70:
            display.sample({HOSTILE!r})
"""
LIVE = re.compile(r"\d+%  ETA 1:00  [^\n\r\x1b]*")


def test_on_a_terminal_one_line_is_live_and_the_others_stay() -> None:
    written = on_terminal(TRAINING)
    drawn = LIVE.findall(written)
    assert 30 <= len(drawn) <= 60  # ten times a second, and again below each line that stays
    assert all(len(line) < 80 for line in drawn)
    assert drawn[-1].endswith("val 1.90  lr 0.0012  norm 0.54  1.23M/s")
    assert SHOWN + "long " * 30 + "\n" in written
    assert f"  | {SHOWN}\n" in written
    assert "step 50, epoch 1.50: 1.781 bits/char, validation 1.900 bits/char\n" in written
    assert written.endswith("99%  ETA 1:00  loss 1.234  bits 1.78  val 1.90  lr 0.0012  norm 0.54  1.23M/s\n")
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is back
    assert "\x1b[36m" in written


def test_no_color_means_no_color() -> None:
    written = on_terminal(TRAINING, NO_COLOR="1")
    assert LIVE.search(written)
    assert not re.search(r"\x1b\[[0-9;]*m", written.replace("\x1b[0m", ""))


def test_a_dumb_terminal_is_not_animated() -> None:
    written = on_terminal(TRAINING, TERM="dumb", FORCE_COLOR="1")
    assert "\x1b" not in written
    assert not LIVE.search(written)
    assert "step 99 (99%)" in written


def test_rich_is_not_loaded_without_a_terminal() -> None:
    code = "import sys\nimport rnn_cli.display.tables" + TRAINING + "\nassert 'rich' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


LABELS = [
    ("a", 0.5),
    ("\u4e2d\u6587", 0.25),
    ("\u0301", 0.125),
    ("e\u0301", 0.0),
    ("x\u202e\n", 1.0),
    ("", 0.01),
]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("width", [30, 80])
def test_bars_are_aligned_and_fit(ascii_only: bool, width: int) -> None:
    lines = bars(LABELS, width, ascii_only=ascii_only).split("\n")
    assert len(lines) == len(LABELS)
    assert max(map(cell_len, lines)) == width
    assert {cell_len(line[: line.index("%")]) for line in lines} == {cell_len(r"x\u202e\n") + 8}
    bar = "#" if ascii_only else "\u2588"
    full = lines[4].count(bar)
    assert lines[0].count(bar) in (full // 2, (full + 1) // 2)
    assert bar not in lines[3]
    assert bars([], width, ascii_only=ascii_only) == ""


def test_long_labels_are_cut() -> None:
    assert max(map(cell_len, bars([("\u4e2d" * 100, 1.0), ("a", 0.5)], 80).split("\n"))) == 80


@pytest.mark.parametrize("encoding, bar", [("utf-8", "\u2588"), ("latin-1", "#"), ("ascii", "#"), ("unknown", "#")])
def test_bars_follow_the_encoding_of_stdout(monkeypatch: pytest.MonkeyPatch, encoding: str, bar: str) -> None:
    class Stdout:
        pass

    stdout: Any = Stdout()
    stdout.encoding = encoding
    monkeypatch.setattr(sys, "stdout", stdout)
    assert bar in bars([("a", 1.0)])


def test_a_walk_shows_each_step() -> None:
    steps = [
        ("start", "n", 0.5, [("n", 0.5), ("k", 0.25)]),
        ("\u4e2d", "\x1b", 0.01, [("a", 0.9)] * 50),
        ("n", None, None, []),
    ]
    lines = walk(steps, 60).split("\n")
    assert lines[0] == "after  came           expected"
    assert lines[1] == "start  n      50.00%  n 50%  k 25%"
    assert lines[2].startswith("\u4e2d     \\x1b    1.00%  a 90%  a 90%")
    assert cell_len(lines[2]) <= 60
    assert lines[3] == "n"


def test_key_values_are_aligned() -> None:
    rows = [("cell", "lstm"), ("hidden size", 512), ("a\x1b", "\x1b[1m[/foo]")]
    assert key_values(rows) == "cell         lstm\nhidden size  512\na\\x1b        \\x1b[1m[/foo]"


def test_a_curve_falls_from_left_to_right() -> None:
    lines = curve([4, 3, 2, 1], 14, 4, ascii_only=True).split("\n")
    assert lines == ["        4 *", " " * 11 + "*", " " * 12 + "*", "        1    *"]
    first, second = curve([8.0, 0.0], 14, 2, ascii_only=False).split("\n")
    assert first == "        8 \u2811\u2884"  # two dots a column, four a row, each one lower than the one before
    assert second == "        0 \u2800\u2800\u2811\u2884"


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("count", [1, 2, 7, 100, 5000])
@pytest.mark.parametrize("width, height", [(60, 6), (12, 1), (40, 2)])
def test_a_curve_fits_and_has_no_gap(count: int, width: int, height: int, ascii_only: bool) -> None:
    values = [((7919 * i) % 101) / 10 for i in range(count)]
    values.insert(count // 2, float("nan"))
    values.append(float("inf"))
    lines = curve(values, width, height, ascii_only=ascii_only).split("\n")
    assert len(lines) == height
    assert max(map(len, lines)) == width
    blank = " " if ascii_only else "\u2800"
    assert all(any(line.ljust(width)[x] not in (blank, " ") for line in lines) for x in range(10, width))


def test_curve_of_no_or_one_value() -> None:
    assert curve([]) == curve([float("nan")]) == ""
    flat = curve([2.0, 2.0], 20, 3, ascii_only=True).split("\n")
    assert flat[0] == "        2 **********"
    assert curve([1e308, -1e308, 2.0], 20, 3, ascii_only=True).split("\n") == flat
    assert "-9.88e+98" in curve([9.876e98, -9.876e98], 20, 3)


def test_a_newline_in_a_label_keeps_the_table_whole() -> None:
    shown = confusion_table(["a\nb", "\x1b[2Jc"], [[1, 2000], [3, 4]])
    rows = [["actual", "\\", "predicted", "a\\nb", "\\x1b[2Jc"], ["a\\nb", "1", "2,000"], ["\\x1b[2Jc", "3", "4"]]
    assert [row.split() for row in shown.split("\n")] == rows
    assert len({len(row) for row in shown.split("\n")}) == 1


def test_items_that_do_not_fit_are_left_out_whole():
    shown = table_and_list(["read"], [["a"], ["b"]], ("expected", [["x 60%", "y 3%"], ["longer 50%"]]), width=15)
    assert shown.splitlines() == ["read  expected", "a     x 60%", "b"]
