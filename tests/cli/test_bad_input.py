"""A case for each option of each command and each kind of text: one sentence, its exit code, and nothing left behind.

What the types of the options imply is derived from them; an option that takes any text has cases of its own below,
and one without a case is a failure.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from commands import SMALL, STREAM_TEXT, Result, run
from options import NEEDED, OPTIONS, REFUSED, Option
from test_cli_errors import FILES, models

from rnn_cli.text import documents

# Derived from the types

DERIVED = [(option, value) for option in OPTIONS for value in REFUSED.get(option.kind, [])]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with texts and models, which no case changes."""
    directory = tmp_path_factory.mktemp("shelf")
    for name, data in {**FILES, **models()}.items():
        (directory / name).write_bytes(data)
    (directory / "loop").symlink_to("loop")
    return directory


def check_refused(done: Result, code: int, words: list[str]) -> None:
    """Assert that a command ended with a code and one sentence, which holds the words."""
    assert (done.code, done.stdout) == (code, b""), done.stderr
    message = done.stderr.splitlines()[-1]
    assert message.startswith("rnn: error: ")
    assert done.stderr.count("rnn: error") == 1
    assert "Traceback" not in done.stderr
    assert "unexpected" not in message.replace("unexpected extra argument", "")
    assert len(message) < 1000
    for word in words:
        assert re.search(word, message), (word, message)


def identity(value: object) -> str:
    """Return a short name for a case."""
    return ascii(str(value))[1:40]


@pytest.mark.parametrize("option, value", DERIVED, ids=identity)
def test_invalid_values_of_a_type_are_refused(shelf: Path, option: Option, value: str) -> None:
    before = sorted(os.listdir(shelf))
    done = run(option.command, *NEEDED[option.command], f"{option.name}={value}", cwd=shelf)
    check_refused(done, 2, [re.escape(option.name.removeprefix("--"))])
    assert sorted(os.listdir(shelf)) == before


# Options that take any text: what is wrong with it shows when it is used.

TEXT_CASES: list[tuple[str, str, int, list[str]]] = [
    ("serve --model", "--stdio -m missing.model", 3, ["missing.model"]),
    ("serve --host", "good.model --host 0.0.0.0", 2, ["0.0.0.0", "--token"]),
    ("serve --host", "good.model --host ''", 2, ["--host ''", "an address"]),
    ("serve --host", "good.model --host 'local host'", 2, ["--host 'local host'"]),
    ("serve --token", "good.model --token missing.txt", 2, ["missing.txt", "No such file"]),
    ("serve --token", "good.model --token start.txt", 2, ["start.txt", "ASCII"]),
    ("serve --token", "good.model --token one.txt", 2, ["one.txt", "at least 16"]),
    ("serve --allow-host", "good.model --allow-host model.example:80", 2, ["model.example:80", "without a port"]),
    ("serve --allow-host", "good.model --allow-host ''", 2, ["--allow-host ''"]),
    ("serve --allow-origin", "good.model --allow-origin editor.example", 2, ["editor.example", "https://"]),
    ("serve --allow-origin", "good.model --allow-origin https://a/b", 2, ["https://a/b"]),
    ("translate --model", "-m missing.model text.txt", 3, ["missing.model"]),
    ("export --model", "-m missing.model --to c -o new.h", 3, ["missing.model"]),
    ("export --output", "good.model --to c -o nowhere/new.h", 2, ["nowhere", "create it"]),
    ("export --output", "good.model --to c -o good.model", 2, ["the model itself"]),
    ("export --output", "good.model --to numpy -o .", 2, ["'.'", "directory"]),
    ("export --output", "good.model --to c -o ''", 2, ["directory"]),
    ("export --license", "good.model --to c -o new.h --license mit", 2, ["--to hub"]),
    ("export --license", "good.model --to hub -o new --license 'a b'", 2, ["--license", "a b"]),
    ("export --measure-on", "good.model --to html -o new --measure-on text.txt", 2, ["--int8"]),
    ("export --measure-on", "good.model --to html -o new --int8 --measure-on missing.txt", 2, ["missing.txt"]),
    ("import --symbols", "good.model --symbols missing.json -m new", 2, ["missing.json"]),
    ("import --symbols", "good.model --symbols text.txt -m new", 2, ["text.txt", "JSON"]),
    ("import --model", "text.txt --symbols text.txt -m good.model", 2, ["good.model", "--overwrite"]),
    ("train --quantiles", "-m new text.txt --quantiles 0.1", 2, ["--quantiles is for --task forecast"]),
    ("train --model", "-m nowhere/new text.txt", 2, ["nowhere", "create it"]),
    ("train --model", "-m '' text.txt", 2, ["cannot write"]),
    ("train --model", "-m /dev/full text.txt", 2, ["/dev/full", "not a regular file"]),
    ("train --model", "-m text.txt/new text.txt", 2, ["text.txt", "no directory"]),
    ("train --model", f"-m {'x' * 300} text.txt", 2, ["too long", "choose another"]),
    ("train --model", "-m loop text.txt", 2, ["loop", "symbolic links"]),
    ("train --log", "-m new text.txt --log loop", 2, ["loop", "symbolic links"]),
    ("train --validation-file", "-m new text.txt --validation-file loop", 2, ["loop", "symbolic links"]),
    ("forecast --model", "-m nowhere", 3, ["nowhere", "train one"]),
    ("info --model", "-m loop", 3, ["loop", "symbolic links"]),
    ("train --validation-file", "-m new text.txt --validation-file missing.txt", 2, ["missing.txt", "No such file"]),
    ("train --validation-file", "-m new text.txt --validation-file ''", 2, ["cannot read"]),
    ("train --validation-file", "-m new text.txt --validation-file start.txt", 2, ["start.txt", "byte 1"]),
    ("train --log", "-m new text.txt --log nowhere/log", 2, ["nowhere/log"]),
    ("train --log", "-m new text.txt --log ''", 2, ["log"]),
    ("train --log", "-m new text.txt --log .", 2, ["log", "directory"]),
    ("train --log", "-m new text.txt --log text.txt", 2, ["text.txt", "name another file"]),
    ("train --column", "-m new text.txt --column missing", 2, ["text.txt has no column 'missing'; it has"]),
    ("train --column", "-m new text.txt --column ''", 2, ["text.txt has no column ''"]),
    ("train --tokens", "-m new text.txt --tokens missing.txt", 2, ["missing.txt", "No such file"]),
    ("train --tokens", "-m new text.txt --tokens ''", 2, ["cannot read"]),
    ("train --tokens", "-m new text.txt --tokens .", 2, ["directory"]),
    ("train --from", "-m new text.txt --from missing.model", 3, ["missing.model", "no model"]),
    ("train --from", "-m new text.txt --from ''", 3, ["no model|cannot be read"]),
    ("train --from", "-m new text.txt --from text.txt", 3, ["text.txt", "safetensors"]),
    ("train --from", "-m new text.txt --from cut-data.model", 3, ["cut-data.model"]),
    ("train --from", "-m new text.txt --from good.model --bytes", 2, ["--bytes contradicts", "leave it out"]),
    ("train --from", "-m good.model --resume --from other.model", 2, ["--resume", "leave out --from"]),
    ("sample --model", "-m ''", 3, ["cannot be read|no model"]),
    ("sample --model", "-m good.model:0.5 -m missing.model:0.5", 3, ["missing.model", "no model"]),
    ("sample --model", "-m good.model:0 -m other.model", 2, ["share of a model", "above 0"]),
    ("sample --model", "-m good.model/x", 3, ["good.model/x"]),
    ("sample --seed", "-m good.model --seed \u0928", 2, ["U\\+0928", "character 1 of the seed"]),
    ("sample --label", "-m good.model --label ham", 2, ["without labels", "leave --label out"]),
    ("complete --label", "the -m good.model --label ham", 2, ["without labels", "leave --label out"]),
    ("predict --label", "the -m good.model --label ham", 2, ["without labels", "leave --label out"]),
    ("sample --seed-file", "-m good.model --seed-file ''", 2, ["cannot read"]),
    ("sample --seed-file", "-m good.model --seed-file utf16.txt", 2, ["UTF-16"]),
    ("sample --seeds", "-m good.model --seeds missing.txt", 2, ["missing.txt", "No such file"]),
    ("sample --seeds", "-m good.model --seeds ''", 2, ["cannot read"]),
    ("sample --seeds", "-m good.model --seeds .", 2, ["directory"]),
    ("sample --seeds", "-m good.model --seeds empty.txt", 2, ["empty.txt", "a prompt on each line"]),
    ("sample --seeds", "-m good.model --seeds middle.txt", 2, ["line 2 of middle.txt", "UTF-8"]),
    ("sample --seeds", "-m good.model --seeds digits.txt", 2, ["U\\+0030", "the seed in line 1"]),
    ("sample --forbid", "-m good.model --seed the --forbid ' ,.acdeghlmnosty\n'", 2, ["--forbid leaves no", "fewer"]),
    ("sample --pattern", "-m good.model --pattern 'a(?=t)'", 2, ["--pattern at character 2", "lookahead"]),
    ("sample --pattern", "-m good.model --pattern '[0-9]+'", 2, ["no text of the char", "matches --pattern"]),
    ("sample --pattern", "-m good.model --pattern '(a|t)*a(a|t){20}'", 2, ["--pattern needs more", "simpler"]),
    ("sample --suffix", "-m good.model --suffix \u0928", 2, ["U\\+0928", "character 1 of --suffix"]),
    ("sample --must-contain", "-m good.model --must-contain \u0928", 2, ["U\\+0928", "character 1 of --must-contain"]),
    ("sample --must-contain", "-m good.model --must-contain the -l 2", 2, ["the shortest text", "raise --length"]),
    ("sample --stop", "-m good.model --stop \u0928", 2, ["U\\+0928", "the stop text"]),
    ("sweep --study", "text.txt --study nowhere/study --trials 1", 2, ["nowhere/study", "name another file"]),
    ("sweep --study", "text.txt --study text.txt --trials 1", 2, ["text.txt is not the study of a sweep"]),
    ("sweep --study", "--study missing.study", 2, ["no study missing.study", "--trials"]),
    ("sweep --model", "text.txt --study new --trials 1 -m new.model", 2, ["-m with --best"]),
    ("sample --shard", "-m good.model --shard 1/2", 2, ["--random-seed"]),
    ("evaluate --shard", "-m good.model text.txt --shard 1/2", 2, ["--per-line", "add up"]),
    ("classify --shard", "-m good.model -m other.model --shard 1/2", 2, ["stdin", "by its name"]),
    ("tag --shard", "-m good.model text.txt --shard 2/1", 2, ["--shard must be I/N", "2/1"]),
    ("translate --shard", "-m good.model text.txt --shard 1", 2, ["--shard must be I/N", "not 1"]),
    ("write --model", "-m missing.model text.txt", 3, ["missing.model", "no model"]),
    ("write --label", "-m good.model --label ham text.txt", 2, ["without labels", "leave --label out"]),
    ("write --pattern", "-m good.model text.txt --pattern '[0-9]+'", 2, ["no text of the char", "matches --pattern"]),
    ("write --forbid", "-m good.model text.txt --forbid ' ,.acdeghlmnosty\n'", 2, ["--forbid leaves no", "fewer"]),
    ("evaluate --model", "-m . text.txt", 3, ["cannot be read"]),
    ("evaluate --corpus", "-m good.model text.txt --baselines --corpus missing.txt", 2, ["missing.txt"]),
    ("evaluate --corpus", "-m good.model text.txt --baselines --corpus ''", 2, ["cannot read"]),
    ("evaluate --corpus", "-m good.model text.txt --baselines --corpus start.txt", 2, ["start.txt", "byte 1"]),
    ("evaluate --corpus", "-m good.model text.txt --corpus text.txt", 2, ["--corpus", "give --baselines"]),
    ("classify --model", "text.txt", 2, ["two models", "-m"]),
    ("classify --model", "-m good.model text.txt", 2, ["two models", "-m"]),
    ("classify --model", "-m good.model -m ./good.model text.txt", 2, ["the same label, 'good'", "rename"]),
    ("classify --model", "-m good.model -m missing.model text.txt", 3, ["missing.model", "no model"]),
    ("classify --model", "-m good.model -m cut-data.model text.txt", 3, ["cut-data.model"]),
    ("complete --model", "-m cut-header.model the", 3, ["cut-header.model"]),
    ("complete --model", "-m good.model \u0928", 2, ["U\\+0928", "character 1 of the prefix"]),
    ("predict --model", "-m text.txt the", 3, ["text.txt", "safetensors"]),
    ("tag --model", "-m missing.model text.txt", 3, ["missing.model", "no model"]),
    ("tag --model", "-m good.model text.txt", 2, ["writes text", "rnn sample"]),
    ("inspect --model", "-m missing.model the", 3, ["missing.model", "no model"]),
    ("inspect --label", "the -m good.model --label ham", 2, ["without labels", "leave --label out"]),
    ("inspect --unit", "the -m good.model --unit 0:1", 2, ["--unit is L:K", "from 1"]),
    ("inspect --npz", "the -m good.model --npz missing/x.npz", 2, ["missing/x.npz"]),
    ("gradients --model", "-m text.txt the", 3, ["text.txt", "safetensors"]),
    ("gradients --label", "the -m good.model --label ham", 2, ["without labels", "leave --label out"]),
    ("gradcheck --model", "-m missing.model the", 3, ["missing.model", "no model"]),
    ("plot --model", "-m missing.model", 3, ["missing.model", "no model"]),
    ("plot --output", "-m good.model -o x.gif", 2, ["x.gif", "svg", "png"]),
    ("plot --output", "-m good.model -o nowhere/x.svg", 2, ["nowhere/x.svg"]),
    ("report --model", "-m missing.model text.txt", 3, ["missing.model", "no model"]),
    ("report --output", "-m good.model -o text.txt", 2, ["text.txt", "html"]),
    ("report --label", "-m good.model text.txt --label x", 2, ["without labels", "--label"]),
    ("compress --model", "text.txt -m missing.model", 3, ["missing.model", "no model"]),
    ("compress --output", "text.txt -o nowhere/x", 2, ["nowhere/x"]),
    ("compress --output", "text.txt -o text.txt", 2, ["text.txt", "itself"]),
    ("decompress --model", "text.txt -m missing.model -o new", 3, ["missing.model", "no model"]),
    ("decompress --output", "text.txt", 2, ["text.txt", "--output"]),
    ("decompress --output", "text.txt -o new", 1, ["not a file of rnn compress"]),
    ("info --model", "-m /dev/zero", 3, ["/dev/zero", "not a regular file"]),
]


@pytest.mark.parametrize("option, arguments, code, words", TEXT_CASES, ids=[f"{c[0]} {c[1][:30]}" for c in TEXT_CASES])
def test_text_that_an_option_cannot_use_is_refused(
    shelf: Path, option: str, arguments: str, code: int, words: list[str]
) -> None:
    before = sorted(os.listdir(shelf))
    check_refused(run(option.split()[0], *shlex.split(arguments), cwd=shelf), code, words)
    assert sorted(os.listdir(shelf)) == before


def test_every_option_has_a_case() -> None:
    cases = {name for name, *_ in TEXT_CASES}
    for option in OPTIONS:
        assert option.kind in REFUSED or option.kind == "boolean" or str(option) in cases, f"{option} has no case"
    assert len(DERIVED) + len(TEXT_CASES) + len(CORPORA) + len(WHILE_READ) >= 150


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.kind == "boolean"], ids=identity)
def test_a_switch_takes_no_value(shelf: Path, option: Option) -> None:
    done = run(option.command, *NEEDED[option.command], f"{option.name}=yes", cwd=shelf)
    check_refused(done, 2, [re.escape(option.name)])


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.kind != "boolean"], ids=identity)
def test_option_without_its_value_is_refused(shelf: Path, option: Option) -> None:
    for name in option.names:
        check_refused(run(option.command, name, cwd=shelf), 2, [re.escape(name)])


# Texts of every kind: the bytes, the exit code, and the words of the message

TEXT = STREAM_TEXT.encode()
CORPORA: dict[str, tuple[bytes, int, list[str]]] = {
    "empty": (b"", 2, ["corpus is empty", "two characters"]),
    "one byte": (b"a", 0, []),
    "one newline": (b"\n", 2, ["corpus"]),
    "newlines": (b"\n" * 9, 0, []),
    "a NUL": (b"\0", 0, []),
    "NULs": (b"\0" * 500, 0, []),
    "NULs in a text": (TEXT + b"\0" + TEXT, 0, []),
    "a lone surrogate": (b"ab\xed\xa0\x80" + TEXT, 2, [r"byte 3 \(line 1\)", "0xed", "--bytes"]),
    "a pair of surrogates": (b"\xed\xa0\xbd\xed\xb8\x80" + TEXT, 2, [r"byte 1 \(line 1\)", "0xed"]),
    "wrong UTF-8 at the start": (b"\xff" + TEXT, 2, [r"byte 1 \(line 1\)", "0xff"]),
    "wrong UTF-8 in the middle": (TEXT + b"\n\xc3(" + TEXT, 2, [f"byte {len(TEXT) + 2:,} ", "0xc3"]),
    "wrong UTF-8 at the end": (b"abc\n\xf0\x9f\x98", 2, [r"byte 5 \(line 2\)", "0xf0"]),
    "an overlong NUL": (b"\xc0\x80" + TEXT, 2, [r"byte 1 ", "0xc0"]),
    "beyond Unicode": (b"\xf4\x90\x80\x80" + TEXT, 2, [r"byte 1 ", "0xf4"]),
    "BOM": (b"\xef\xbb\xbf" + TEXT, 0, []),
    "only a BOM": (b"\xef\xbb\xbf", 2, ["corpus is empty"]),
    "a BOM in the middle": (TEXT + b"\xef\xbb\xbf" + TEXT, 0, []),
    "UTF-16": (STREAM_TEXT.encode("utf-16"), 2, ["UTF-16", "convert it"]),
    "CRLF": (TEXT.replace(b"\n", b"\r\n"), 0, []),
    "CR only": (TEXT.replace(b"\n", b"\r"), 0, []),
    "one endless line": (b"abcdefgh" * 40_000, 0, []),
    "no final newline": (TEXT.rstrip(b"\n"), 0, []),
    "100,000 distinct characters": ("".join(map(chr, range(0x10000, 0x10000 + 100_000))).encode(), 0, []),
    "other line ends": ("one\u2028two\u2029three\x0bfour\x0cfive\x85six".encode() * 20, 0, []),
    "combining marks": (b"e\xcc\x81\xcc\x82" * 200, 0, []),
}


@pytest.mark.parametrize("data, code, words", CORPORA.values(), ids=CORPORA.keys())
def test_a_text(tmp_path: Path, data: bytes, code: int, words: list[str]) -> None:
    (tmp_path / "corpus").write_bytes(data)
    done = run("train", "corpus", *SMALL, "--steps", 1, cwd=tmp_path)
    if code:
        check_refused(done, code, words)
        assert os.listdir(tmp_path) == ["corpus"]
    else:
        assert (done.code, done.stdout) == (0, b""), done.stderr
        assert run("sample", "-l", 5, cwd=tmp_path).code == 0


def test_a_fifo_is_read_to_its_end_as_it_grows(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def feed() -> None:
        with open(tmp_path / "fifo", "wb", buffering=0) as fifo:
            for byte in TEXT:
                fifo.write(bytes([byte]))

    writer = threading.Thread(target=feed)
    writer.start()
    done = run("train", "fifo", *SMALL, "--steps", 1, cwd=tmp_path)
    writer.join()
    assert done.code == 0, done.stderr
    (tmp_path / "text").write_bytes(TEXT)
    assert run("evaluate", "text", cwd=tmp_path).code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus").write_bytes(TEXT)
    (tmp_path / "corpus").chmod(0)
    check_refused(run("train", "corpus", cwd=tmp_path), 2, ["corpus", "Permission denied", "permissions"])


class Reading(io.FileIO):
    """An open file that something happens to when half of it is read."""

    def __init__(self, path: str, action: Callable[[str], None]) -> None:
        super().__init__(path)
        self._path, self._action = path, action

    def read(self, size: int | None = -1) -> bytes:
        """Return a part of the content."""
        start = self.tell()
        part = super().read(len(TEXT) // 2)
        if start == 0:
            self._action(self._path)
        return part


def grow(path: str) -> None:
    """Add to a file."""
    with open(path, "ab") as file:
        file.write(TEXT)


def fail(path: str) -> None:
    """Be a disk that cannot be read, or a place that may not be."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def forbid(path: str) -> None:
    """Be a file that the user may not read."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def replace(path: str) -> None:
    """Be another text of the same length."""
    os.unlink(path)
    Path(path).write_bytes(TEXT.upper())


# A text is opened to see that it is there, to see whether it is one of lines, for the vocabulary, and to be encoded.
VOCABULARY, ENCODED = 3, 4
WHILE_READ: dict[str, tuple[Callable[[str], Any], int, int, list[str]]] = {
    "vanishes": (os.unlink, ENCODED, 0, []),
    "vanishes before it is encoded": (os.unlink, VOCABULARY, 2, ["corpus", "No such file"]),
    "grows": (grow, ENCODED, 0, []),
    "grows before it is encoded": (grow, VOCABULARY, 0, []),
    "is cut off": (lambda path: os.truncate(path, 10), ENCODED, 2, ["corpus was changed", "a copy"]),
    "is replaced": (replace, VOCABULARY, 2, ["corpus was changed", "a copy"]),
    "cannot be read any more": (fail, ENCODED, 2, ["corpus", "Input/output error"]),
    "is forbidden": (forbid, VOCABULARY, 2, ["corpus", "Permission denied", "permissions"]),
}


@pytest.mark.parametrize("action, number, code, words", WHILE_READ.values(), ids=WHILE_READ.keys())
def test_text_that_changes_while_read_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: Callable[[str], None],
    number: int,
    code: int,
    words: list[str],
) -> None:
    (tmp_path / "corpus").write_bytes(TEXT)
    opened = []

    def watched(path: str, mode: str) -> IO[bytes]:
        opened.append(path)
        return Reading(path, action) if len(opened) == number else open(path, mode)

    monkeypatch.setattr(documents, "open", watched, raising=False)
    done = run("train", "corpus", *SMALL, "--steps", 1, cwd=tmp_path)
    if code:
        check_refused(done, code, words)
    else:
        assert (done.code, len(opened)) == (0, ENCODED), done.stderr


def test_text_that_vanishes_before_resuming_is_refused(tmp_path: Path) -> None:
    from fault_injection import train_until

    (tmp_path / "corpus").write_bytes(TEXT)
    assert train_until(5, "corpus", *SMALL, "--steps", 40, cwd=tmp_path).code == 143
    before = (tmp_path / "model.safetensors").read_bytes()
    for change, words in ((grow, ["is not the text"]), (os.unlink, ["corpus", "No such file"])):
        change(tmp_path / "corpus")
        check_refused(run("train", "--resume", cwd=tmp_path), 2, words)
        assert (tmp_path / "model.safetensors").read_bytes() == before
