"""Nothing that a file, a name or a text holds acts on the terminal, whichever command shows it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
from commands import ENVIRONMENT, SMALL, read_to_end, run
from safetensors.numpy import save

from rnn_cli.__main__ import main
from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from rnn_cli.cli.commands import COMMANDS as LISTED
from rnn_cli.language.compression import compress

HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b5m\x90\u202e\u2066\u200f\x7f\b"
NAME = f"a{HOSTILE}b"
# What the program itself sends: colours, the cursor, lines that are cleared.
OWN = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*[AK])|\r")
BAD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def on_terminal(*arguments: str, stdin: str = os.devnull) -> tuple[int, str]:
    """Run a command with stdout and stderr on a terminal; return its exit code and all that reached that."""
    terminal, end = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.append(read_to_end(terminal)))
    reader.start()
    environment = {"COLUMNS": "300", **ENVIRONMENT, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, environment, clear=True))
        for name in ("stdout", "stderr"):
            stream = stack.enter_context(open(os.dup(end), "w", encoding="utf-8"))
            stack.enter_context(mock.patch.object(sys, name, stream))
        stack.enter_context(mock.patch.object(sys, "stdin", stack.enter_context(open(stdin, encoding="utf-8"))))
        code = main(list(arguments))
    os.close(end)
    reader.join()
    return code, shown[0].decode("utf-8")


LONG_SEED = "the cat sat\n" * 30_000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a model and a text, hostile in every name and value; it is the working directory."""
    directory = tmp_path_factory.mktemp(NAME)
    text = f"the {HOSTILE}cat sat\n" * 60
    (directory / NAME).write_text(text, "utf-8")
    (directory / f"lines{NAME}").write_text("\n".join(f"{letter}{HOSTILE}" for letter in "abcdefghij" * 4), "utf-8")
    (directory / "latin").write_bytes(text.encode() + b"\xff")
    (directory / "labelled").write_text(f"{NAME}\tthe {HOSTILE}\nmodel\tcat\n", "utf-8")
    with contextlib.chdir(directory):
        code, _ = on_terminal("train", NAME, *SMALL, "--steps", "120", "-m", "model", "--stream")
        assert code == 0
        checkpoint = load_checkpoint("model")
        tagged = "".join(f"{token}{HOSTILE}\tX{HOSTILE}\nend\tY\n\n" for token in "abcdefghij" * 3)
        (directory / "tagged").write_text(tagged, "utf-8")
        (directory / f"packed{NAME}.rnnz").write_bytes(compress(text.encode()))
        (directory / "sentence").write_text(f"a{HOSTILE} end\n", "utf-8")
        code, shown = on_terminal("train", "tagged", "--task", "tag", *TAGGER, "-m", "tagger")
        assert code == 0, shown
        pairs = "".join(f"{letter}{HOSTILE}\t{HOSTILE}{letter}\n" for letter in "abcdefghij" * 3)
        (directory / "pairs").write_text(pairs, "utf-8")
        code, shown = on_terminal("train", "pairs", "--task", "translate", *TAGGER, "-m", "translator")
        assert code == 0, shown
        series = "".join(f"{day},{day % 7}\n" for day in range(60))
        (directory / "series").write_text(f"ds,y{HOSTILE}\n{series}", "utf-8")
        (directory / "wrong").write_text(f"ds,y{HOSTILE}\n{series}1,{HOSTILE}\n", "utf-8")
        code, shown = on_terminal(
            "train", "series", "--task", "forecast", *TAGGER, "--horizon", "4", "-m", "forecaster"
        )
        assert code == 0, shown
    asked = [{"prompt": HOSTILE, "echo": True, "logprobs": 2}, {"prompt": f"Z{HOSTILE}"}, {HOSTILE: HOSTILE}]
    asked += [{"task": HOSTILE}, {"id": HOSTILE, "models": True}, {"model": HOSTILE}]
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in asked)
    (directory / "requests").write_text(f"{lines}{HOSTILE}\n", "utf-8")
    about = {"task": "language", "codec": checkpoint.codec.to_dict()}
    (directory / f"symbols{NAME}").write_text(json.dumps(about), "utf-8")
    checkpoint.record["corpus"] = {"name": HOSTILE, HOSTILE: HOSTILE}
    checkpoint.record["versions"] = {HOSTILE: HOSTILE}
    checkpoint.record[HOSTILE] = HOSTILE
    save_checkpoint(directory / f"{NAME}.model", checkpoint)
    tensors = {**checkpoint.parameters, HOSTILE: checkpoint.parameters["decoder.bias"]}
    (directory / "hostile.safetensors").write_bytes(save(tensors))
    return directory


TAGGER = ["--hidden-size", "8", "--steps", "30", "--random-seed", "1"]
STEPS = ["--stream", "--steps", "20", "--layers", "1", "--cell", "lstm"]
MODEL = ["-m", f"{NAME}.model"]
TWO = [*MODEL, "-m", "model"]
COMMANDS = {
    "train": [
        ["train", NAME],
        ["train", f"lines{NAME}"],
        ["train", NAME, "--validation-file", NAME, "--log", f"l{NAME}"],
        ["train", NAME, "--from", f"{NAME}.model"],
        ["train", NAME, "--dry-run"],
    ],
    "sweep": [
        ["sweep", NAME, *SMALL, *STEPS, "--study", f"s{NAME}", "--trials", "1"],
        ["sweep", "--study", f"s{NAME}"],
        ["sweep", "--study", f"s{NAME}", "--json"],
        ["sweep", "--study", f"s{NAME}", "--best", "-m", f"best{NAME}"],
    ],
    "sample": [
        ["sample", "--seed", f"the {HOSTILE}"],
        ["sample", "-n", "3", "--jsonl", "--seed-file", NAME],
        ["sample", "-l", "300", "-t", "3"],
        ["sample", "--stop", HOSTILE, "--unknown", "skip", "--seed", NAME],
    ],
    "evaluate": [
        ["evaluate", NAME],
        ["evaluate", NAME, "--json", "--baselines"],
        ["evaluate", NAME, "--per-line"],
        ["evaluate", NAME, "--per-line", "--jsonl", "--sort", "--top", "3"],
        ["evaluate", NAME, "--per-char"],
        ["evaluate", NAME, "--per-char", "--jsonl"],
        ["evaluate", "latin", "--threshold", "0"],
    ],
    "classify": [
        ["classify", NAME, *TWO],
        ["classify", "latin", *TWO, "--jsonl"],
        ["classify", "labelled", *TWO, "--labels"],
        ["classify", "labelled", *TWO, "--labels", "--json"],
    ],
    "tag": [
        ["tag", "sentence", "-m", "tagger"],
        ["tag", "sentence", "-m", "tagger", "--inline"],
        ["tag", "sentence", "-m", "tagger", "--jsonl"],
        ["evaluate", "tagged", "-m", "tagger"],
    ],
    "translate": [
        ["translate", "pairs", "-m", "translator"],
        ["translate", "pairs", "-m", "translator", "-n", "3"],
        ["translate", "sentence", "-m", "translator", "--align"],
        ["translate", "sentence", "-m", "translator", "--jsonl"],
        ["evaluate", "pairs", "-m", "translator"],
    ],
    "forecast": [
        ["forecast", "-m", "forecaster"],
        ["forecast", "series", "-m", "forecaster", "--jsonl"],
        ["forecast", "series", "-m", "forecaster", "--plot"],
        ["evaluate", "series", "-m", "forecaster"],
    ],
    "serve": [["serve", "--stdio", "--model", f"{NAME}.model", "--model", "tagger", "--model", "model"]],
    "predict": [["predict", HOSTILE], ["predict", "--each", f"the {HOSTILE}"], ["predict", HOSTILE, "--json"]],
    "complete": [["complete", HOSTILE], ["complete", HOSTILE, "--plain"], ["complete", HOSTILE, "--json"]],
    "compress": [["compress", NAME]],
    "decompress": [["decompress", f"packed{NAME}.rnnz", "-o", "-"], ["decompress", f"packed{NAME}.rnnz"]],
    "export": [
        ["export", "--to", "hub", "-o", f"hub{NAME}", "--license", "mit"],
        ["export", "--to", "html", "-o", f"page{NAME}.html", "--int8"],
        ["export", "--to", "html", "-o", f"page{NAME}.html", "--int8", "--measure-on", NAME],
        ["export", "tagger", "--to", "onnx", "-o", f"graph{NAME}"],
        ["export", f"{NAME}.model", "--to", "c", "-o", f"header{NAME}"],
        ["export", "--to", "numpy", "-o", f"numpy{NAME}"],
    ],
    "import": [["import", f"{NAME}.model", "--symbols", f"symbols{NAME}", "-m", f"again{NAME}", "--overwrite"]],
    "info": [["info"], ["info", "--json"]],
    "plot": [["plot"], ["plot", f"{NAME}.model", "model"]],
    "report": [["report", NAME, "-o", f"{NAME}.html"], ["report"]],
    "inspect": [
        ["inspect", f"the {HOSTILE}cat"],
        ["inspect", NAME, "--unit", "1:1"],
        ["inspect", NAME, "--find-units"],
        ["inspect", HOSTILE, "--json", "--npz", f"a{NAME}.npz"],
    ],
    "gradients": [["gradients", f"the {HOSTILE}cat", "--compare"], ["gradients", HOSTILE, "--json"]],
    "gradcheck": [
        ["gradcheck", f"the {HOSTILE}cat"],
        ["gradcheck", NAME, "--json"],
        ["gradcheck", "tagged", "-m", "tagger"],
    ],
    "errors": [
        ["inspect", f"Z{HOSTILE}"],
        ["inspect", "the", "--unit", HOSTILE],
        ["inspect", "the", "--npz", f"nowhere/{NAME}"],
        ["gradients", f"Z{HOSTILE}"],
        ["gradcheck", f"Z{HOSTILE}"],
        ["report", NAME, "-o", NAME],
        ["info", "-m", f"missing{NAME}"],
        ["info", "-m", NAME],
        ["decompress", NAME, "-o", "back"],
        ["info", "-m", "."],
        [f"no{NAME}"],
        ["train", f"missing{NAME}"],
        ["train", f"--no{NAME}"],
        ["train", NAME, "--cell", HOSTILE],
        ["train", NAME, "--steps", HOSTILE],
        ["train", NAME, "-m", f"nowhere/{NAME}"],
        ["train", NAME, "-m", f"{NAME}.model"],
        ["train", NAME, "--log", NAME],
        ["sample", "--seed", f"Z{HOSTILE}"],
        ["sample", "--stop", f"Z{HOSTILE}"],
        ["sample", "--pattern", f"Z{HOSTILE}"],
        ["sample", "--suffix", f"Z{HOSTILE}"],
        ["sample", "--must-contain", f"Z{HOSTILE}"],
        ["sample", "--seed-file", "latin"],
        ["predict", "\u2067"],
        ["predict", HOSTILE, HOSTILE],
        ["complete", f"Z{HOSTILE}"],
        ["sample", "--seeds", f"missing{NAME}"],
        ["sample", "--seeds", "latin"],
        ["evaluate", NAME, "--baselines", "--corpus", f"missing{NAME}"],
        ["classify", NAME, "-m", "model", "-m", f"missing{NAME}"],
        ["classify", NAME, *MODEL, "-m", f"./{NAME}.model"],
        ["classify", NAME, *TWO, "--labels"],
        ["export", f"missing{NAME}", "--to", "c", "-o", "new.h"],
        ["export", "model", "--to", "c", "-o", f"nowhere{NAME}/{NAME}"],
        ["export", "model", "--to", "hub", "-o", "new", "--license", HOSTILE],
        ["export", "model", "--to", "html", "-o", "new", "--int8", "--measure-on", f"missing{NAME}"],
        ["import", f"missing{NAME}", "--symbols", f"symbols{NAME}", "-m", "new"],
        ["import", NAME, "--symbols", f"symbols{NAME}", "-m", "new"],
        ["import", "model", "--symbols", NAME, "-m", "new"],
        ["import", "hostile.safetensors", "--symbols", f"symbols{NAME}", "-m", "new"],
        ["translate", f"missing{NAME}", "-m", "translator"],
        ["forecast", "wrong", "-m", "forecaster"],
        ["serve", f"missing{NAME}"],
        ["serve", f"{NAME}.model", f"./{NAME}.model"],
        ["serve", "model", "--host", HOSTILE],
        ["serve", "model", "--allow-host", HOSTILE],
        ["serve", "model", "--allow-origin", HOSTILE],
        ["serve", "model", "--token", f"missing{NAME}"],
        ["train", NAME, "--from", f"missing{NAME}", "-m", "new"],
        ["train", NAME, "--from", f"{NAME}.model", "--lines", "-m", "new"],
    ],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_output_controls_the_terminal(place: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("rnn_cli.cli.train.run.SAMPLE_SECONDS", 0)  # what the model writes is shown, too
    for arguments in COMMANDS[command]:
        others: list[str] = []
        if command == "train":
            others = [*SMALL, "--steps", "120", "--overwrite", "-m", f"new{NAME}"]
        elif (
            not {"-m", "--model"} & {*arguments}
            and arguments[0] in COMMANDS
            and command not in ("sweep", "decompress")
            and arguments[1:2] not in (["tagger"], [f"{NAME}.model"])
        ):
            others = MODEL
        code, shown = on_terminal(*arguments, *others, stdin="requests" if command == "serve" else os.devnull)
        assert (code == 0) == (command != "errors"), shown
        assert shown
        found = BAD.search(OWN.sub("", shown))
        assert found is None, (arguments, shown[max(0, found.start() - 40) :][:80])


def test_hostile_text_is_shown_escaped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for arguments in (
        ["info", *MODEL],
        ["sample", "--seed", f"the {HOSTILE}", *MODEL],
        ["evaluate", NAME, "--per-line", *MODEL],
        ["classify", NAME, *TWO],
        ["info", "-m", NAME],
    ):
        assert r"\x1b[2J\x1b]0;title\x07\x9b5m\x90\u202e\u2066\u200f\x7f\x08" in on_terminal(*arguments)[1]


def test_a_pipe_gets_the_exact_lines(place: Path) -> None:
    lines = (place / NAME).read_bytes().splitlines(keepends=True)
    for arguments in (["evaluate", NAME, "--per-line", *MODEL], ["classify", NAME, *TWO]):
        rows = run(*arguments, cwd=place).stdout.split(b"\n")[:-1]
        assert [row.split(b"\t", 2)[2] + b"\n" for row in rows] == lines
    rows = run("evaluate", NAME, "--per-char", *MODEL, cwd=place).stdout.splitlines()
    assert len(rows) == sum(len(line.decode()) for line in lines)


def test_every_command_is_tested() -> None:
    names = {name for commands in LISTED.values() for name in commands}
    assert names == COMMANDS.keys() - {"errors"} | {"write"}  # tests/cli/test_write.py


def test_a_long_seed_shows_progress_before_its_echo(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_cli.display.screen.LIVE_SECONDS", 0.0)
    (place / "long").write_text(LONG_SEED)
    with contextlib.chdir(place):
        code, shown = on_terminal("sample", "-m", "model", "--seed-file", "long", "-l", "5")
        assert code == 0
        assert "of 360,000 characters of the seed read" in shown
        assert OWN.sub("", shown).count(LONG_SEED) == 1
        assert shown.rindex("of the seed read") < shown.index("the cat sat")
        _, quiet = on_terminal("sample", "-m", "model", "--seed-file", "long", "-l", "5", "--quiet")
        assert "of the seed read" not in quiet
        done = run("sample", "-m", "model", "--seed-file", "long", "-l", "5", cwd=place)
        assert "read" not in done.stderr


def test_a_newline_in_a_file_name_stays_on_its_line(place: Path) -> None:
    name = "one\nrnn: error: two"
    (place / name).write_text("a cat\nsat\n" * 300)
    with contextlib.chdir(place):
        commands = [
            ["train", name, "--dry-run", "--steps", "5", *SMALL],
            ["train", name, *SMALL, "--steps", "5", "-m", f"{name}.m"],
            ["evaluate", name, "-m", f"{name}.m", "--json"],
            ["evaluate", name, "-m", f"{name}.none"],
            ["info", f"{name}.m"],
            ["classify", name, "-m", f"{name}.m", "-m", "model"],
            ["sample", "-m", "model", "--seeds", f"{name}.none"],
        ]
        for command in commands:
            _, shown = on_terminal(*command)
            plain = OWN.sub("", shown)
            assert not re.search(r"^rnn: error: two", plain, re.MULTILINE), (command, plain)


def test_a_narrow_terminal_breaks_between_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "COLUMNS", "24")
    (place / "cats").write_text("a cat sat here\n" * 300)
    with contextlib.chdir(place):
        code, shown = on_terminal("train", "cats", "--dry-run", "--steps", "5", "--stream", *SMALL)
    assert code == 0
    lines = OWN.sub("\n", shown).split("\n")
    assert [line for line in lines if len(line) > 24 and " " in line] == []
    assert "memory at the peak" in lines
