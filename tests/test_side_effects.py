"""The commands execute no program, open no connection, and write only the files that they are asked to write."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from commands import SMALL, STREAM_TEXT
from options import OPTIONS

from rnn_cli.kernels.compiler.cache import find_location

# Runs commands in one process, with an audit hook that reports opened files, started programs and connections.
PROGRAM = """
import json, os, sys

RUNNING = "socket subprocess urllib ftplib smtplib http webbrowser pty pickle.find_class os.system os.exec os.fork"
RUNNING = {*RUNNING.split(), "os.posix_spawn", "os.spawn", "os.startfile"}
events = []

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        if writes and isinstance(path, (str, bytes)):
            events.append(["write", os.path.abspath(os.fsdecode(path))])
    elif event.partition(".")[0] in RUNNING or event in RUNNING:
        events.append([event, ""])
    elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.symlink", "os.link"):
        if not isinstance(arguments[0], int):  # a descriptor: its file was opened by name before
            events.append(["write", os.path.abspath(os.fsdecode(arguments[0]))])

sys.addaudithook(watch)
from rnn_cli.__main__ import main
codes = [main(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps([codes, events]), file=sys.stderr)
"""
TRIALS = ["--layers", "1", "--cell", "lstm", "--steps", "20", "--study", "study", "--trials", "2"]
QUICK = ["--hidden-size", "8", "--steps", "9", "--quiet"]
COMMANDS = [
    ["train", "text", *SMALL, "--steps", "60", "--log", "log", "--quiet"],
    ["train", "text", *SMALL, "--steps", "2", "--from", "model.safetensors", "-m", "other.safetensors", "--quiet"],
    ["sweep", "text", *SMALL, *TRIALS, "--quiet"],
    ["sweep", "--study", "study", "--best", "-m", "best.safetensors", "--quiet"],
    ["sample", "-l", "5", "--random-seed", "1"],
    ["sample", "-n", "2", "--seed", "the", "--jsonl", "--random-seed", "1"],
    ["evaluate", "text", "--quiet", "--baselines", "--adapt"],
    ["evaluate", "text", "--quiet", "--per-line", "--sort"],
    ["classify", "text", "-m", "model.safetensors", "-m", "other.safetensors"],
    ["train", "tagged", "--task", "tag", *QUICK, "-m", "tagger.safetensors"],
    ["tag", "text", "-m", "tagger.safetensors"],
    ["train", "pairs", "--task", "translate", *QUICK, "-m", "translator.safetensors"],
    ["translate", "text", "-m", "translator.safetensors"],
    ["train", "series", "--task", "forecast", *QUICK, "-m", "forecaster.safetensors"],
    ["forecast", "series", "-m", "forecaster.safetensors", "--quiet"],
    ["predict", "the", "--each"],
    ["inspect", "the", "--quiet"],
    ["gradients", "the", "--quiet"],
    ["gradcheck", "the", "--quiet"],
    ["export", "model.safetensors", "--to", "hub", "-o", "hub", "--license", "mit", "--quiet"],
    ["import", "hub/model.safetensors", "--symbols", "hub/config.json", "-m", "new.safetensors", "--overwrite"],
    ["complete", "the"],
    ["serve", "--stdio", "--quiet"],
    ["compress", "text", "-o", "text.rnnz", "--quiet"],
    ["decompress", "text.rnnz", "-o", "-", "--quiet"],
    ["info"],
    ["info", "--json"],
    ["plot", "model.safetensors"],
    ["plot", "model.safetensors", "log", "-o", "curve.svg", "--quiet"],
    ["report", "model.safetensors", "text", "--random-seed", "1", "--quiet"],
]


def events(folder: Path, commands: list[list[str]]) -> list[tuple[str, str]]:
    """Return the audit events (kind, path) while the commands run; all of them must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    codes, found = json.loads(done.stderr.splitlines()[-1])
    assert codes == [0] * len(commands), done.stderr
    return [(kind, path) for kind, path in found]


def test_every_command_is_watched() -> None:
    on_a_terminal = {"write"}  # tests/cli/test_write.py
    assert {command for command, *_ in COMMANDS} | on_a_terminal == {option.command for option in OPTIONS}


def test_commands_write_only_what_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(STREAM_TEXT)
    (tmp_path / "tagged").write_text("the\tDET\ncat\tNOUN\n\n" * 3)
    (tmp_path / "pairs").write_text("one\teno\ntwo\towt\nthree\teerht\n" * 3)
    (tmp_path / "series").write_text("".join(f"{number}\n" for number in [3, 5, 4, 8, 6, 7] * 9))
    events(tmp_path, COMMANDS)  # compiles all kernels, and so writes to the kernel cache
    for written in [*tmp_path.glob("*.safetensors"), tmp_path / "log", tmp_path / "study"]:
        written.unlink()
    found = events(tmp_path, COMMANDS)
    others = {event for event in found if event[0] not in ("write", "pickle.find_class")}  # by the kernel cache
    assert others == set()
    known = {os.devnull, str(find_location().directory)}  # the cache directory is created if it is missing
    written = {os.path.relpath(path, tmp_path) for kind, path in found if kind == "write" and path not in known}
    # Each file is written under a name of its own beside it, and a model that is trained has a lock.
    written = {re.sub(r"(^|/)[.](.*?)([.]\d+-[0-9a-f-]+[.]tmp|[.]lock)$", r"\1\2", path) for path in written}
    written = {re.sub(r"^study[.]lock.*", "study", path) for path in written}
    models = {f"{name}.safetensors" for name in ("model", "other", "tagger", "translator", "forecaster", "new", "best")}
    hub = {"hub", *(f"hub/{path.name}" for path in (tmp_path / "hub").iterdir())}
    files = {"log", "study", "curve.svg", "report.html", "text.rnnz", *models}
    assert written <= files | hub
    assert set(os.listdir(tmp_path)) == files | {"hub", "text", "tagged", "pairs", "series"}


def test_info_writes_nothing_and_loads_no_kernels(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(STREAM_TEXT)
    events(tmp_path, COMMANDS[:1])
    assert events(tmp_path, [["info"], ["info", "--json"]]) == []
