"""Whatever is wrong: one sentence, its exit code, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from commands import SMALL, STREAM_TEXT, run, run_process
from safetensors.numpy import save

from rnn_cli.atomic_files import lock

TEXT = STREAM_TEXT.encode()
FILES = {
    "text.txt": TEXT,
    "empty.txt": b"",
    "bom.txt": b"\xef\xbb\xbf",
    "one.txt": b"a",
    "newline.txt": b"\n",
    "newlines.txt": b"\n" * 50,
    "start.txt": b"\xff" + TEXT,
    "middle.txt": b"ab\ncd\xe9 ef\n" + TEXT,
    "after-bom.txt": b"\xef\xbb\xbfab\xff" + TEXT,
    "end.txt": b"abc\nde\xe2\x82",
    "surrogate.txt": b"ab\xed\xa0\x80" + TEXT,
    "utf16.txt": STREAM_TEXT.encode("utf-16"),
    "utf16-be.txt": b"\xfe\xff" + STREAM_TEXT.encode("utf-16-be"),
    "utf32.txt": STREAM_TEXT.encode("utf-32"),
    "digits.txt": b"0123456789" * 20,
    "empty.model": b"",
    "short.model": b"\x08\x00\x00",
    "foreign.model": save({"weight": np.zeros((3, 4), np.float32)}),
    "torch.model": b"PK\x03\x04" + bytes(range(256)) * 4,
    "hungry.model": (2**62).to_bytes(8, "little") + b"{}",
}


@cache
def models() -> dict[str, bytes]:
    """Return good models and damaged ones, by the names of their files."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "text.txt").write_bytes(TEXT)
        done = run("train", "text.txt", *SMALL, "--steps", 3, "-m", "good.model", cwd=directory)
        assert done.code == 0, done.stderr
        good = (directory / "good.model").read_bytes()
    end = 8 + int.from_bytes(good[:8], "little")

    def altered(old: bytes, new: bytes) -> bytes:
        assert good.count(old) == 1
        return good.replace(old, new)

    header = json.loads(good[8:end])
    start, stop = header["decoder.bias"]["data_offsets"]
    not_finite = np.full((stop - start) // 4, np.nan, "<f4").tobytes()
    return {
        "good.model": good,
        "other.model": good,
        "cut-header.model": good[: end // 2],
        "cut-data.model": good[:-1],
        "longer.model": good + b"\0",
        "newer.model": altered(rb"\"format\":2", rb"\"format\":9"),
        "cell.model": altered(rb"\"cell\":\"lstm\"", rb"\"cell\":\"lsdm\""),
        "size.model": altered(rb"\"hidden_size\":8", rb"\"hidden_size\":9"),
        "fingerprint.model": altered(rb"\"hashes\":6", rb"\"hashes\":9"),
        "nan.model": good[: end + start] + not_finite + good[end + stop :],
    }


def refused_numbers() -> list[tuple[str, int, list[str]]]:
    """Return rows for every option that takes a number: out of range, not finite, huge, and no number at all."""
    train, sample = "train text.txt -m new", "sample -m good.model --seed the"
    evaluate, complete = "evaluate text.txt -m good.model", "complete the -m good.model"
    limits: list[tuple[str, str, list[str], str]] = [
        (train, "minutes", ["0", "-1", "100001"], "0.001 to 100000"),
        (train, "epochs", ["0", "-1", "1e7"], "0.001 to 1e+06"),
        (train, "steps", ["0", "-1", "1000000001"], "1 to 1,000,000,000"),
        (train, "hidden-size", ["0", "8193"], "1 to 8,192"),
        (train, "layers", ["0", "17"], "1 to 16"),
        (train, "dropout", ["-0.1", "0.96"], "0 to 0.95"),
        (train, "recurrent-dropout", ["-0.1", "0.96"], "0 to 0.95"),
        (f"{train} --optimizer sgd", "momentum", ["-0.1", "1"], "0 to 0.999"),
        (train, "weight-decay", ["-1", "11"], "0 to 10"),
        (train, "average", ["-0.1", "0.51"], "0 to 0.5"),
        (train, "augment", ["-0.1", "101"], "0 to 100"),
        (train, "reset-chance", ["-0.1", "1.1"], "0 to 1"),
        (train, "batch-size", ["0", "4097"], "1 to 4,096"),
        (train, "sequence-length", ["0", "4097"], "1 to 4,096"),
        (train, "learning-rate", ["0", "-1", "11"], "1e-07 to 10"),
        (train, "clip-norm", ["0", "1e7"], "1e-06 to 1e+06"),
        (train, "patience", ["0", "1000001"], "1 to 1,000,000"),
        (train, "validation-fraction", ["-0.1", "0.91"], "0 to 0.9"),
        (train, "random-seed", ["-1", str(2**63)], "0 to 9,223,372,036,854,775,807"),
        (train, "threads", ["0", "1025"], "1 to 1,024"),
        (sample, "count", ["0", "1000000001"], "1 to 1,000,000,000"),
        (sample, "length", ["-1", "1000000001"], "0 to 1,000,000,000"),
        (sample, "temperature", ["-0.5", "101"], "0 to 100"),
        (sample, "top-k", ["-1", "2000000"], "0 to 1,114,113"),
        (sample, "top-p", ["-0.1", "1.1"], "0 to 1"),
        (sample, "min-p", ["-0.1", "1.1"], "0 to 1"),
        (sample, "min-length", ["-1", "1000000001"], "0 to 1,000,000,000"),
        (sample, "max-length", ["0", "1000000001"], "1 to 1,000,000,000"),
        (sample, "max-copy", ["4", "1000000001"], "5 to 1,000,000,000"),
        (sample, "best-of", ["0", "1000001"], "1 to 1,000,000"),
        (complete, "count", ["0", "1001"], "1 to 1,000"),
        (complete, "length", ["0", "10001"], "1 to 10,000"),
        (complete, "threads", ["0", "1025"], "1 to 1,024"),
        (sample, "random-seed", ["-1", str(2**63)], "0 to 9,223,372,036,854,775,807"),
        (sample, "threads", ["0", "1025"], "1 to 1,024"),
        (evaluate, "threads", ["0", "1025"], "1 to 1,024"),
        (evaluate, "threshold", ["-1", "1e300"], "0 to 1e+09"),
        (evaluate, "top", ["0", "1000000001"], "1 to 1,000,000,000"),
        (evaluate, "reset-every", ["0", "1000000001"], "1 to 1,000,000,000"),
        (evaluate, "adapt-rate", ["-1", "1.1"], "0 to 1"),
        ("classify text.txt -m good.model -m other.model", "threads", ["0", "1025"], "1 to 1,024"),
        ("predict the -m good.model", "top", ["0", "-1", "2000000"], "1 to 1,114,113"),
    ]
    whole = {"steps", "hidden-size", "layers", "batch-size", "sequence-length", "patience", "random-seed", "threads"}
    whole |= {"count", "length", "top-k", "top", "min-length", "max-length", "max-copy", "best-of", "reset-every"}
    rows = []
    for command, option, values, span in limits:
        # The option by its own name: there is no --num-layers.
        words = [rf"(?<!num-){option}", f"from {re.escape(span)}"]
        outside = [*values, str(10**30), *([] if option in whole else ["nan", "inf", "-inf"])]
        unlike = ["x", "''", *(["nan", "inf", "0.5"] if option in whole else [])]
        rows += [(f"{command} --{option} {value}", 2, words) for value in outside]
        rows += [(f"{command} --{option} {value}", 2, [option, "not a valid"]) for value in unlike]
    return rows


CORPORA: list[tuple[str, int, list[str]]] = [
    ("train -m new", 2, ["text file", "rnn train corpus.txt"]),
    ("train -m new -", 2, ["stdin is empty"]),
    ("train -m new - -", 2, ["stdin", "once"]),
    ("train -m new - --validation-file -", 2, ["stdin", "once"]),
    ("train -m new empty.txt", 2, ["empty.txt is empty", "two characters"]),
    ("train -m new bom.txt", 2, ["bom.txt is empty"]),
    ("train -m new empty.txt bom.txt", 2, ["empty.txt, bom.txt"]),
    ("train -m new empty.txt --bytes", 2, ["empty.txt is empty"]),
    ("train -m new one.txt --stream", 2, ["one.txt has a single character"]),
    ("train -m new newline.txt", 2, ["newline.txt"]),
    ("train -m new newline.txt --bytes", 2, ["newline.txt"]),
    ("train -m new newlines.txt --lines", 2, ["newlines.txt is empty"]),
    ("train -m new missing.txt", 2, ["missing.txt", "No such file"]),
    ("train -m new ''", 2, ["cannot read"]),
    ("train -m new text.txt missing.txt", 2, ["missing.txt"]),
    ("train -m new folder", 2, ["folder", "directory", "no text file"]),
    ("train -m new start.txt", 2, [r"start.txt .* byte 1 \(line 1\)", "0xff", "--bytes"]),
    ("train -m new middle.txt", 2, [r"middle.txt .* byte 6 \(line 2\)", "0xe9", "--bytes"]),
    ("train -m new after-bom.txt", 2, [r"after-bom.txt .* byte 6 \(line 1\)", "0xff"]),
    ("train -m new end.txt", 2, [r"end.txt .* byte 7 \(line 2\)", "0xe2"]),
    ("train -m new surrogate.txt", 2, [r"byte 3 \(line 1\)", "0xed"]),
    ("train -m new text.txt middle.txt", 2, [r"middle.txt .* byte 6 \(line 2\)"]),
    ("train -m new utf16.txt", 2, ["utf16.txt", "UTF-16", "convert it"]),
    ("train -m new utf16-be.txt", 2, ["UTF-16"]),
    ("train -m new utf32.txt", 2, ["UTF-32"]),
    ("train -m new text.txt --validation-file missing.txt", 2, ["missing.txt"]),
    ("train -m new text.txt --validation-file middle.txt", 2, [r"middle.txt .* byte 6"]),
    ("train -m new text.txt --validation-file empty.txt", 2, ["empty.txt", "another text to validate on"]),
    ("train -m new text.txt --validation-file digits.txt", 2, ["digits.txt has no character"]),
    ("train -m good.model --overwrite middle.txt", 2, ["middle.txt"]),
    ("evaluate -m good.model", 2, ["empty"]),
    ("evaluate -m good.model empty.txt", 2, ["empty"]),
    ("evaluate -m good.model missing.txt", 2, ["missing.txt"]),
    ("evaluate -m good.model folder", 2, ["folder"]),
    ("evaluate -m good.model text.txt middle.txt", 2, [r"middle.txt .* byte 6 \(line 2\)", "convert it"]),
    ("evaluate -m good.model - -", 2, ["once"]),
    ("sample -m good.model --seed-file missing.txt", 2, ["missing.txt"]),
    ("sample -m good.model --seed-file folder", 2, ["folder"]),
    ("sample -m good.model --seed-file middle.txt", 2, [r"middle.txt .* byte 6 \(line 2\)"]),
    ("sample -m good.model --seeds missing.txt", 2, ["missing.txt"]),
    ("sample -m good.model --seeds empty.txt", 2, ["empty.txt", "a prompt on each line"]),
    ("sample -m good.model --seeds middle.txt", 2, [r"line 2 of middle.txt .* byte 3"]),
    ("sample -m good.model --seeds digits.txt", 2, ["'0'", "character 1 of the seed in line 1", "--unknown skip"]),
]

UNKNOWN: list[tuple[str, int, list[str]]] = [
    ("sample -m good.model --seed 'the Xat'", 2, [r"'X' \(U\+0058\)", "character 5 of the seed", "--unknown skip"]),
    ("sample -m good.model --seed THE", 2, ["'T'", "character 1 ", "known ones are 't'.*it knows lower case: 'the'"]),
    ("sample -m good.model --seed 'th\u00e9'", 2, [r"U\+00E9", "character 3 ", "known ones are 'e'"]),
    ("sample -m good.model --seed-file digits.txt", 2, ["'0'", "character 1 "]),
    ("predict -m good.model 'the Xat'", 2, ["'X'", "character 5"]),
    ("complete -m good.model 'the Xat'", 2, ["'X'", "character 5 of the prefix"]),
    # What is wrong is the stop text, and the option that leaves characters out is for the seed.
    ("sample -m good.model --seed the --stop X", 2, ["'X'", "character 1 of the stop text"]),
    ("sample -m good.model --seed the --stop Xt --unknown skip", 2, ["'X'", "character 1 of the stop text"]),
    # predict has no --unknown.
    ("predict -m good.model X", 2, [r"^(?!.*--unknown)"]),
]

BAD_MODELS = {
    "missing": "rnn train CORPUS -m missing",
    "folder": "folder",
    "empty.model": "safetensors",
    "short.model": "safetensors",
    "text.txt": "safetensors",
    "torch.model": "safetensors",
    "hungry.model": "safetensors",
    "foreign.model": "another program",
    "cut-header.model": "cut off",
    "cut-data.model": "cut off",
    "longer.model": "altered",
    "newer.model": "newer rnn",
    "cell.model": "lsdm",
    "size.model": "float32 of shape",
    "nan.model": "not finite",
}
COMMANDS = ["sample --seed the", "complete the", "evaluate text.txt", "predict the", "info", "train --resume"]
CHECKPOINTS = [
    (f"{command} -m {name}", 3, [re.escape(name), word])
    for command, (name, word) in product(COMMANDS, BAD_MODELS.items())
    if (command, name) != ("train --resume", "folder")  # which cannot be written either
]

CHECKPOINTS += [
    (f"{command} -m fingerprint.model", 3, ["fingerprint", "9 hashes"]) for command in ("info", "sample --max-copy 9")
]

USAGE: list[tuple[str, int, list[str]]] = [
    ("nope", 2, ["nope", "rnn --help"]),
    ("--nope", 2, ["--nope"]),
    ("train --nope", 2, ["--nope"]),
    ("train text.txt --steps", 2, ["--steps"]),
    ("train text.txt -m new --cell transformer", 2, ["transformer", "lstm", "gru", "rnn"]),
    ("train text.txt -m new --cell rnn --activation swish", 2, ["swish", "tanh", "relu", "sigmoid"]),
    ("train text.txt -m new --activation relu", 2, ["--activation", "--cell rnn"]),
    ("train text.txt -m new --cell lstm --activation relu", 2, ["--activation", "--cell rnn"]),
    ("train text.txt -m new --cell gru --activation sigmoid", 2, ["--activation", "--cell rnn"]),
    ("train text.txt -m new --steps 3 --epochs 2", 2, ["--steps", "--epochs", "contradict"]),
    ("train text.txt -m new --momentum 0.5", 2, ["--momentum", "--optimizer sgd"]),
    ("train text.txt -m new --average 0.6", 2, ["average", "0 to 0.5"]),
    ("train text.txt -m new --schedule plateau --validation-fraction 0", 2, ["plateau", "held out"]),
    ("train text.txt -m new --minutes 1 --epochs 2", 2, ["--minutes", "--epochs", "contradict"]),
    ("train text.txt -m new --minutes 1 --steps 3 --epochs 2", 2, ["--minutes", "--steps", "--epochs"]),
    (
        "train text.txt -m new --validation-fraction 0.2 --validation-file text.txt",
        2,
        ["--validation-fraction", "--validation-file", "contradict"],
    ),
    ("train text.txt -m good.model", 2, ["good.model exists", "--resume", "--overwrite", "-m"]),
    ("train text.txt -m folder", 2, ["folder", "directory"]),
    ("train --resume -m folder", 2, ["folder", "directory"]),
    ("train text.txt -m ''", 2, ["directory"]),
    ("train text.txt -m nowhere/new", 2, ["nowhere", "create it"]),
    ("train text.txt -m /dev/null", 2, ["/dev/null", "not a regular file"]),
    ("train text.txt -m new --log nowhere/log", 2, ["nowhere/log"]),
    ("train text.txt -m new --log folder", 2, ["folder"]),
    # The log must not destroy what it is about.
    ("train text.txt -m new --steps 3 --log text.txt", 2, ["text.txt"]),
    ("train text.txt -m new --steps 3 --log new", 2, ["new", "--log"]),
    ("train text.txt -m new --steps 3 --log digits.txt", 2, ["digits.txt exists already", "--overwrite"]),
    ("train text.txt -m text.txt --overwrite", 2, ["text.txt would replace", "-m"]),
    ("train text.txt -m digits.txt --overwrite --validation-file digits.txt", 2, ["digits.txt would replace", "-m"]),
    ("train --resume -m good.model --overwrite", 2, ["--overwrite"]),
    ("train --resume -m good.model --steps 9", 2, ["--steps"]),
    ("train --resume -m good.model --layers 2", 2, [" --layers"]),
    ("train --resume -m good.model --bytes", 2, [" --bytes"]),
    ("train --resume -m good.model --lines", 2, [" --lines"]),
    ("train --resume -m good.model --stream", 2, [" --stream"]),
    ("train --resume -m good.model --validation-file text.txt", 2, [r"--validation-file\b(?!s)"]),
    ("sample -m good.model --seed the --seed-file text.txt", 2, ["--seed", "--seed-file", "contradict"]),
    ("sample -m good.model --seed-file text.txt --seeds text.txt", 2, ["--seed-file", "--seeds", "contradict"]),
    ("sample -m good.model --min-length 9 --max-length 8", 2, ["--min-length 9", "--max-length 8"]),
    ("sample -m good.model --seed the --max-length 2", 2, ["the seed has 3 characters", "--max-length"]),
    ("sample -m good.model --min-length 9 --length 8", 2, ["--min-length 9 cannot be reached", "--length 8"]),
    ("sample -m good.model --novel", 2, ["--novel is for a model of lines", "--max-copy"]),
    (f"sample -m good.model --forbid {shlex.quote(''.join(sorted(set(STREAM_TEXT))))}", 2, ["--forbid", "fewer"]),
    ("sample -m good.model --seed the --unknown guess", 2, ["guess", "error", "skip"]),
    ("predict -m good.model", 2, ["text"]),
    ("predict -m good.model the cat", 2, ["cat"]),
    ("info -m good.model text.txt", 2, ["given twice", "--model"]),
]

ROWS = [*refused_numbers(), *CORPORA, *UNKNOWN, *CHECKPOINTS, *USAGE]


def test_the_table_uses_every_file() -> None:
    named = {name for arguments, _, _ in ROWS for name in shlex.split(arguments)}
    assert {*FILES, *models()} - named == set()


def content(directory: Path) -> dict[str, bytes]:
    """Return all files below a directory, hidden ones too."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("arguments, code, words", ROWS, ids=[row[0] for row in ROWS])
def test_bad_input(tmp_path: Path, arguments: str, code: int, words: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    given = {**FILES, **models()}
    for name, data in given.items():
        (tmp_path / name).write_bytes(data)
    done = run(*shlex.split(arguments), cwd=tmp_path)
    assert done.code == code, done.stderr
    assert done.stdout == b""
    *notes, message = done.stderr.splitlines()
    assert message.startswith("rnn: error: ")
    assert not any(note.startswith("rnn: error") for note in notes)
    assert "Traceback" not in done.stderr
    assert "unexpected " not in message.replace("unexpected extra argument", "")
    for word in words:
        assert re.search(word, message), (word, message)
    assert content(tmp_path) == given


def test_a_second_run_on_the_same_model_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT)
    with lock(tmp_path / "new.model"):
        done = run("train", "text.txt", "-m", "new.model", "--steps", 3, *SMALL, cwd=tmp_path)
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr.count("\n") == 1
    assert re.search(rf"rnn: error: another run \(process {os.getpid()}\) .* 'new.model'", done.stderr)
    assert content(tmp_path) == {"text.txt": TEXT}


def test_control_characters_of_names_do_not_reach_the_terminal() -> None:
    for arguments in (["info", "-m", "a\x1b[2J"], ["train", "b\u202ec"], ["train", "--a\x1b[2J"], ["a\x1b[2J"]):
        done = run(*arguments)
        assert done.code in (2, 3)
        assert not set("\x1b\u202e") & set(done.stderr)


def test_error_in_a_process(tmp_path: Path) -> None:
    (tmp_path / "middle.txt").write_bytes(FILES["middle.txt"])
    done = run_process("train", "middle.txt", cwd=tmp_path)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith("rnn: error: middle.txt is not valid UTF-8 at byte 6 (line 2)")
    assert done.stderr.count("\n") == 1
