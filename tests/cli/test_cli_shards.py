"""--shard I/N: the output of all parts, one after the other, is the whole output, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Result, run
from random_models import make_checkpoint, random_text

from rnn_cli.checkpoint.checkpoint import save_checkpoint
from rnn_cli.text.codecs import ByteCodec

TASK = ["--hidden-size", "8", "--steps", "4", "--random-seed", "1", "--quiet"]
TEXTS = {
    "lines": random_text(300, True).encode(),
    "no newline at the end": b"abc\nde\n\nfgh",
    "CRLF": b"abc\r\nde\r\n\r\nfgh\r\n",
    "BOM": b"\xef\xbb\xbfabc\n\xef\xbb\xbfde\n",
    "one long line": b"ab\n" + b"abcdefgh" * 40 + b"\nc\n",
    "not UTF-8": b"ab\xffc\nd\xc3\n" * 5,
    "blanks": b"abc de\n  \n\n\tfgh a b\n" * 3,
    "one line": b"abc",
    "empty": b"",
}
FEW = ["lines", "one long line", "BOM"]  # for commands that read as another one does
READERS = {"classify --jsonl", "evaluate --jsonl", "tag"}
COMMANDS = {
    "classify": "classify text -m lines -m other",
    "classify --jsonl": "classify text -m lines -m other --jsonl",
    "classify --top": "classify text -m lines -m other --top 2",
    "evaluate --per-line": "evaluate text -m lines --per-line",
    "evaluate --jsonl": "evaluate text text -m lines --jsonl",
    "evaluate --per-char": "evaluate text -m lines --per-char --jsonl",
    "evaluate --threshold": "evaluate text second -m lines --threshold 4 --total",
    "evaluate by words": "evaluate text -m words --per-line --jsonl",
    "evaluate by bytes": "evaluate text -m bytes --per-char",
    "classify by Bayes' rule": "classify text -m labels --jsonl",
    "classifier": "classify text -m classifier --jsonl",
    "tag": "tag text -m tagger",
    "tag --jsonl": "tag text -m tagger --jsonl",
    "tag --inline": "tag text -m tagger --inline",
    "translate": "translate text -m translator",
    "translate -n": "translate text -m translator -n 2",
}
SAMPLES = [
    "-n 7",
    "-n 1",
    "-n 3 --seeds prompts --jsonl",
    "-n 4 --best-of 3 --seed a -t 2",
    "-n 3 --seeds prompts --best-of 2 --raw",
    "-n 2 -t 0 --no-echo --seed a",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with small models of each task, and texts."""
    path = tmp_path_factory.mktemp("sharded")
    for name, bias in (("lines", None), ("other", 2.0)):
        save_checkpoint(path / name, make_checkpoint(True, boundary_bias=bias))
    save_checkpoint(path / "stream", make_checkpoint(False))
    (path / "labelled").write_text("x\tabc\ny\tdef\n" * 12)
    save_checkpoint(path / "bytes", make_checkpoint(True, codec=ByteCodec(True)))
    for option, text, name in (("--words", "sentences", "words"), ("--labelled", "labelled", "labels")):
        (path / "sentences").write_text("abc de\nfgh a\nb cde\n" * 8)
        assert run("train", text, option, *TASK, "-m", name, cwd=path).code == 0
    (path / "tagged").write_text("the\tDET\ncat\tNOUN\n\n" * 12)
    (path / "pairs").write_text("abc\tcba\nde\ted\n" * 12)
    for task, text in (("classify", "labelled"), ("tag", "tagged"), ("translate", "pairs")):
        name = {"classify": "classifier", "tag": "tagger", "translate": "translator"}[task]
        assert run("train", text, "--task", task, *TASK, "-m", name, cwd=path).code == 0
    (path / "prompts").write_text("a\n\nbc\nd\nab\n")
    (path / "second").write_text("hg\nfe\n")
    return path


def in_parts(command: str, count: int, place: Path) -> list[Result]:
    """Return the results of all parts of a command."""
    return [run(*command.split(), "--shard", f"{index}/{count}", "-q", cwd=place) for index in range(1, count + 1)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_parts_of_a_file_are_the_whole(place: Path, name: str) -> None:
    command = COMMANDS[name]
    for kind in TEXTS if name in READERS else FEW:
        (place / "text").write_bytes(TEXTS[kind])
        whole = run(*command.split(), "-q", cwd=place)
        assert whole.code == 0, whole.stderr
        for count in (3, 8):
            parts = in_parts(command, count, place)
            assert {part.code for part in parts} == {0}, parts
            assert b"".join(part.stdout for part in parts) == whole.stdout, (kind, count)


@pytest.mark.parametrize("arguments", SAMPLES)
def test_the_parts_of_samples_are_the_whole(place: Path, arguments: str) -> None:
    command = f"sample -m lines --random-seed 3 -l 20 {arguments}"
    whole = run(*command.split(), "-q", cwd=place)
    assert whole.code == 0, whole.stderr
    for count in (1, 2, 5):
        parts = in_parts(command, count, place)
        assert {part.code for part in parts} == {0}, parts
        assert b"".join(part.stdout for part in parts) == whole.stdout


def test_lines_longer_than_a_piece_are_cut_alike_in_all_parts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_cli.text.documents.read_pieces.__defaults__", (16, None))
    monkeypatch.setattr("rnn_cli.text.documents.numbered_lines.__kwdefaults__", {"counted": True, "size": 16})
    (place / "text").write_bytes(b"abcdefgh" * 5 + b"\nab\n" + b"fedcba" * 4 + b"\n" + b"a" * 17)
    for command in (COMMANDS["classify --jsonl"], COMMANDS["evaluate --jsonl"], COMMANDS["tag"]):
        whole = run(*command.split(), "-q", cwd=place)
        assert len(whole.stdout.splitlines()) > 4
        for count in (2, 9):
            assert b"".join(part.stdout for part in in_parts(command, count, place)) == whole.stdout


@pytest.mark.parametrize(
    "command, words",
    [
        ("evaluate text -m lines", "add --per-line"),
        ("evaluate text -m lines --json", "add --per-line"),
        ("evaluate text -m lines --baselines", "add --per-line"),
        ("evaluate text -m lines --per-line --sort", "rank all lines"),
        ("evaluate text -m lines --per-line --top 2", "rank all lines"),
        ("evaluate text -m lines --per-line --adapt", "--adapt learns from all"),
        ("evaluate text -m stream --per-line", "for models of lines"),
        ("evaluate text -m tagger --per-line", "for models that write text"),
        ("evaluate --per-line -m lines", "stdin comes as a whole"),
        ("classify labelled -m lines -m other --labels", "--shard and --labels contradict"),
        ("tag - -m tagger", "stdin comes as a whole"),
        ("translate -m translator", "stdin comes as a whole"),
        ("sample -m lines -n 4", "give --random-seed"),
        ("sample -m lines -n 4 --unique --random-seed 1", "--unique compares all texts"),
    ],
)
def test_what_has_no_parts_is_refused(place: Path, command: str, words: str) -> None:
    (place / "text").write_bytes(TEXTS["lines"])
    done = run(*command.split(), "--shard", "1/2", cwd=place)
    assert (done.code, done.stdout) == (2, b"")
    assert words in done.stderr.splitlines()[-1]
