"""What the documents show is what happens: transcripts are run again, and figures come from the results.

`python tests/test_docs.py` writes what the commands print now into the documents.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PATHS = {"README": ROOT / "README.md", "recipes": ROOT / "docs" / "recipes.md"}
DOCUMENTS = {name: path.read_text("utf-8") for name, path in PATHS.items()}
TRANSCRIPT = re.compile(r"(?<=<!-- transcript -->\n```console\n).*?(?=```)", re.DOTALL)
TRANSCRIPTS = [(name, transcript) for name, text in DOCUMENTS.items() for transcript in TRANSCRIPT.findall(text)]


def commands_of(transcript):
    """Return (command, printed) pairs."""
    parts = re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]
    return [tuple(part.split("\n", 1)) for part in parts]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a folder for each document, with the program and the corpora in it."""
    return {name: make_folder(tmp_path_factory.mktemp(name)) for name in DOCUMENTS}


def make_folder(path):
    (path / "corpora").symlink_to(ROOT / "corpora")
    (path / "rnn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rnn_cli "$@"\n')
    (path / "rnn").chmod(0o755)
    return path


def run(command, folder):
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(Path.home()), "LC_ALL": "C.UTF-8"}
    environment["PYTHONPATH"] = str(ROOT)  # the program that these documents are about
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True)


def run_once(command, folder, trained):
    """Run a command, but copy the model of another folder where just this one was trained there before."""
    words = command.removesuffix(" --quiet").split()
    if words[:2] != ["rnn", "train"] or not words[2].startswith("corpora/") or "-m" not in words:
        return run(command, folder)
    model, before = words[words.index("-m") + 1], trained.setdefault(" ".join(words), folder)
    if before is folder:
        return run(command, folder)
    shutil.copy(before / model, folder / model)
    return subprocess.CompletedProcess(command, 0, b"", b"")


@pytest.fixture(scope="module")
def trained():
    """The folder in which each model of the corpora was trained."""
    return {}


@pytest.mark.parametrize("name, transcript", TRANSCRIPTS, ids=lambda text: text.split("\n")[0])
def test_transcript(name, transcript, folders, trained):
    """Every command runs, and prints as many lines as shown; what `evaluate` prints has the same words, too."""
    for command, printed in commands_of(transcript):
        done = run_once(command, folders[name], trained)
        assert done.returncode == 0, done.stderr.decode()
        shown, found = printed.splitlines(), done.stdout.decode().splitlines()
        assert len(found) == len(shown), command
        if "evaluate" in command and "--top" not in command:
            assert [re.sub(r"[\d.]+", "0", line) for line in found] == [re.sub(r"[\d.]+", "0", line) for line in shown]


def test_there_are_transcripts():
    assert len(TRANSCRIPTS) == sum(text.count("```console") for text in DOCUMENTS.values()) > 12
    assert all(commands_of(transcript) for _, transcript in TRANSCRIPTS)


def test_the_python_examples_run(folders):
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        if "torch" in example:
            pytest.importorskip("torch")
        exec(
            compile(
                example.replace('"stars-gru', f'"{folders["README"]}/stars-gru').replace(
                    '"corpora', f'"{ROOT}/corpora'
                ),
                "README",
                "exec",
            ),
            {},
        )


RESULTS = ["main-job", "time-to-quality", "training-speed", "training-speed-amx"]
RESULTS += ["sampling-speed", "sampling-speed-amx", "startup"]


@pytest.mark.parametrize("name", RESULTS)
def test_figures_come_from_a_result(name):
    """Each row of the README's tables stands in the newest result of that benchmark."""
    result = max((ROOT / "benchmarks" / "results").glob(f"*-{name}.md")).read_text("utf-8")
    tables = re.findall(rf"<!-- {name} -->\n\n(.*?)\n\n", README, re.DOTALL)
    rows = [row for table in tables for row in table.splitlines()[2:]]
    results = [re.split(r"\s*\|\s*", row.strip("| ")) for row in result.splitlines() if row.startswith("|")]
    assert len(rows) > 1
    for row in rows:
        cells = re.split(r"\s*\|\s*", row.strip("| "))
        assert any(set(cells) <= set(found) for found in results), row


def test_the_corpora_are_as_described():
    table = (ROOT / "corpora" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\S+)` \| (\d+) \| (\d+) \|", table, re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(path.name for path in (ROOT / "corpora").glob("*.txt"))
    for name, lines, characters in rows:
        text = (ROOT / "corpora" / name).read_text("utf-8")
        assert (text.count("\n"), len(text)) == (int(lines), int(characters))
        assert len(set(text.splitlines())) == int(lines)


def rewrite(path, folder):
    """Run the commands of a document, and write what they print into it."""

    def printed_now(match):
        parts = []
        for command, _ in commands_of(match[0]):
            print(f"$ {command}", flush=True)
            done = run(command, folder)
            done.check_returncode()
            parts.append(f"$ {command}\n{done.stdout.decode()}")
        return "".join(parts)

    path.write_text(TRANSCRIPT.sub(printed_now, path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    for document in PATHS.values():
        with tempfile.TemporaryDirectory() as directory:
            rewrite(document, make_folder(Path(directory)))
