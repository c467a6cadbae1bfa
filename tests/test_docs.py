"""The documents show what happens: transcripts and examples run again, figures come from results, links lead somewhere.

`python tests/test_docs.py` runs the transcripts and writes their output into the documents, or into the named ones.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tutorial_notebook as notebook
from options import OPTIONS
from tutorial_notebook import commands_of

ROOT = Path(__file__).parent.parent
PATHS = {path.stem: path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "README.md"}
PATHS |= {"index": ROOT / "docs" / "README.md", "README": ROOT / "README.md"}
OTHER_PATHS = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md")]
DOCUMENTS = {name: path.read_text("utf-8") for name, path in PATHS.items()}

TRANSCRIPT = re.compile(r"(?<=<!-- transcript -->\n```console\n).*?(?=```)", re.DOTALL)
# The tutorial runs as a whole, in order: test_tutorial.py.
APART = {name: text for name, text in DOCUMENTS.items() if name != "tutorial"}
TRANSCRIPTS = [(name, transcript) for name, text in APART.items() for transcript in TRANSCRIPT.findall(text)]
EXAMPLES = [
    pytest.param(name, code, id=f"{name}-{number}")
    for name, text in APART.items()
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1)
]
TABLE = re.compile(r"<!-- ([a-z-]+) -->\n\n(\|.*?)(?:\n\n|\n*$)", re.DOTALL)
TABLES = [
    pytest.param(result, table, id=f"{name}-{result}")
    for name, text in DOCUMENTS.items()
    for result, table in TABLE.findall(text)
]
SHOWN_PORT, FREE_PORT = "8017", str(20_000 + os.getpid() % 10_000)  # so that several runs do not meet
# Options of pytest, of the benchmarks, of GNU parallel and of Slurm, which the documents name too.
OTHER_OPTIONS = {
    "--dist",
    "--hidden-sizes",
    "--longest",
    "--phases",
    "--recipes",
    "--with",
    "--parts",
    "--names",
    "--shakespeare",
    "--text",
    "--torch",
    "--help",
    "--version",
    "--",
    "--bind-to",
}
OTHER_OPTIONS |= {"--pipe", "--block", "--array", "--job-name", "--cpus-per-task"}
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
OTHER_OPTIONS |= {"--retry", "--retry-delay", "--retry-connrefused"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Yield a folder for each document, with the program and the corpora in it."""
    made = {name: make_folder(tmp_path_factory.mktemp(name)) for name in DOCUMENTS}
    yield made
    for pid in (path.read_text() for folder in made.values() for path in folder.glob("pid")):
        with contextlib.suppress(ProcessLookupError):  # it has ended, as the document shows
            os.kill(int(pid), signal.SIGKILL)


def make_folder(path):
    (path / "corpora").symlink_to(ROOT / "corpora")
    (path / "rnn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rnn_cli "$@"\n')
    (path / "rnn").chmod(0o755)
    (path / "mpiexec").write_text(f'#!/bin/sh\nexec "{MPIEXEC}" "$@"\n')
    (path / "mpiexec").chmod(0o755)
    return path


def environment_of(folder):
    """Return the environment of commands, with the sources that these documents belong to."""
    return {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(Path.home()), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}


def run(command, folder):
    line = ["bash", "-o", "pipefail", "-c", command.replace(SHOWN_PORT, FREE_PORT)]
    return subprocess.run(line, cwd=folder, env=environment_of(folder), capture_output=True)


def run_once(command, folder, trained):
    """Run a command, or copy the model if another folder has already run this same training."""
    words = command.replace("\\\n", " ").removesuffix(" --quiet").split()
    if words[:2] != ["rnn", "train"] or not words[2].startswith("corpora/") or "-m" not in words:
        return run(command, folder)
    model, first_folder = words[words.index("-m") + 1], trained.setdefault(" ".join(words), folder)
    if first_folder is folder:
        return run(command, folder)
    shutil.copy(first_folder / model, folder / model)
    return subprocess.CompletedProcess(command, 0, b"", b"")


@pytest.fixture(scope="module")
def trained():
    """The folder in which each model of the corpora was trained."""
    return {}


@pytest.mark.parametrize("name, transcript", TRANSCRIPTS, ids=lambda text: text.split("\n")[0])
def test_transcript(name, transcript, folders, trained):
    """Each command succeeds and prints as many lines as shown. Scores have the same words, whatever their numbers."""
    if "parallel" in transcript and not shutil.which("parallel", path="/usr/bin:/bin"):
        pytest.skip("no GNU parallel")
    if "mpiexec" in transcript and MPIEXEC is None:
        pytest.skip("there is no MPI")
    for command, shown in commands_of(transcript):
        done = run_once(command, folders[name], trained)
        assert done.returncode == 0, done.stderr.decode()
        shown_lines, lines = shown.splitlines(), done.stdout.decode().splitlines()
        assert len(lines) == len(shown_lines), command
        if "evaluate" in command and "--top" not in command:
            assert [re.sub(r"[\d.]+", "0", line) for line in lines] == [
                re.sub(r"[\d.]+", "0", line) for line in shown_lines
            ]


def test_each_console_block_is_a_transcript():
    found = [transcript for text in DOCUMENTS.values() for transcript in TRANSCRIPT.findall(text)]
    assert len(found) == sum(text.count("```console") for text in DOCUMENTS.values()) > 12
    assert all(commands_of(transcript) for transcript in found)


@pytest.mark.parametrize("name, code", EXAMPLES)
def test_python_example_runs(name, code, folders, monkeypatch):
    if "torch" in code:
        pytest.importorskip("torch")
    monkeypatch.chdir(folders[name])
    exec(compile(code, name, "exec"), {})


@pytest.mark.parametrize("name, table", TABLES)
def test_figures_come_from_the_newest_result(name, table):
    result = max((ROOT / "benchmarks" / "results").glob(f"*-{name}.md")).read_text("utf-8")
    rows = table.splitlines()[2:]
    results = [re.split(r"\s*\|\s*", row.strip("| ")) for row in result.splitlines() if row.startswith("|")]
    assert len(rows) > 1
    for row in rows:
        cells = re.split(r"\s*\|\s*", row.strip("| "))
        assert any(set(cells) <= set(found) for found in results), row


def test_each_marked_table_is_compared():
    marks = re.findall(r"<!-- ([a-z-]+) -->", "".join(DOCUMENTS.values()))
    assert len(TABLES) == len([mark for mark in marks if mark not in ("transcript", "tests")]) > 8


def anchors_of(text):
    """Return the anchors of the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PATHS.values(), *OTHER_PATHS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), link
            assert not anchor or anchor in anchors_of(target.read_text("utf-8")), link


def test_the_readme_takes_five_minutes():
    assert len(DOCUMENTS["README"].split()) < 1300


def test_each_page_is_in_the_index():
    links = set(re.findall(r"\]\(([a-z]+\.md)\)", DOCUMENTS["index"]))
    assert links == {path.name for path in PATHS.values() if path.name != "README.md"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documented_options_exist(name):
    known = {option for command in OPTIONS for option in command.names} | OTHER_OPTIONS
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", DOCUMENTS[name])) <= known


def test_the_corpora_are_as_described():
    table = (ROOT / "corpora" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\S+)` \| (\d+) \| (\d+) \|", table, re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == sorted(path.name for path in (ROOT / "corpora").glob("*.[tc]*"))
    for name, lines, characters in rows:
        text = (ROOT / "corpora" / name).read_text("utf-8")
        assert (text.count("\n"), len(text)) == (int(lines), int(characters))
        texts = text.split("\n\n") if name == "sentences.tsv" else text.splitlines()
        assert len(set(texts)) == len(texts)


def rewrite(path, folder):
    """Run the commands of a document and write their output into it."""

    def run_again(match):
        parts = []
        for command, _ in commands_of(match[0]):
            print(f"$ {command}", flush=True)
            done = run(command, folder)
            done.check_returncode()
            parts.append(f"$ {command}\n{done.stdout.decode()}")
        return "".join(parts)

    path.write_text(TRANSCRIPT.sub(run_again, path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or DOCUMENTS:
        with tempfile.TemporaryDirectory() as directory:
            folder = make_folder(Path(directory))
            if name == "tutorial":
                notebook.rewrite(folder, environment_of(folder))
            else:
                rewrite(PATHS[name], folder)
