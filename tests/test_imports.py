"""The floors of the house: imports go down, and each foreign library stays in its room."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rnn_cli

PACKAGE = Path(rnn_cli.__file__).parent

# From the ground up. A room is a module or a package; it may import itself and the rooms of the floors below.
FLOORS = [
    {"errors", "config", "files", "signals"},
    {"kernels"},
    {"cells"},
    {
        "layout",
        "model",
        "schedule",
        "progress",
        "fine_tuning",
        "memory",
        "speed",
        "fingerprint",
        "constraints",
        "reader",
        "texts",
        "ngram",
    }
    | {
        "vocabulary",
        "documents",
        "spool",
        "chance",
        "sources",
        "detection",
        "splitting",
        "corpus",
        "order",
        "augmentation",
        "streams",
    },
    {"training", "diagnosis", "sampling", "prediction", "completion", "checkpoint", "defaults"}
    | {"scoring", "adaptation", "evaluation", "ranking", "classification", "baselines"},
    {"display", "cli", "__main__"},
]
# What a room imports of its own floor.
BESIDE = {
    "config": {"errors"},
    "files": {"errors"},
    "model": {"layout"},
    "progress": {"model"},
    "fine_tuning": {"model", "corpus", "spool", "vocabulary"},
    "fingerprint": {"spool"},
    "speed": {"model"},
    "memory": {"layout", "corpus", "fingerprint", "spool"},
    "documents": {"vocabulary"},
    "sources": {"documents", "spool"},
    "splitting": {"chance", "spool", "vocabulary"},
    "corpus": {"detection", "documents", "sources", "splitting", "spool", "vocabulary"},
    "order": {"chance", "spool", "vocabulary"},
    "augmentation": {"chance", "ngram", "vocabulary"},
    "streams": {"augmentation", "chance", "order", "spool", "vocabulary"},
    "constraints": {"vocabulary"},
    "reader": {"model", "fingerprint", "vocabulary"},
    "texts": {"reader", "vocabulary"},
    "training": {"checkpoint"},
    "sampling": {"checkpoint"},
    "prediction": {"checkpoint"},
    "completion": {"checkpoint"},
    "ngram": {"vocabulary"},
    "scoring": {"checkpoint"},
    "ranking": {"scoring"},
    "classification": {"checkpoint", "scoring"},
    "adaptation": {"checkpoint", "scoring"},
    "evaluation": {"adaptation", "checkpoint", "scoring"},
    "cli": {"display"},
    "__main__": {"cli", "display"},
}
ONLY_IN = {"numba": "kernels", "llvmlite": "kernels", "rich": "display", "typer": "cli"}
# What runs other programs or code, or reaches the network, and the library that Typer keeps to itself.
PROGRAMS = {"cffi", "code", "codeop", "ctypes", "multiprocessing", "pty", "runpy", "subprocess", "webbrowser"}
OBJECTS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
NETWORK = {"asyncio", "ftplib", "http", "httpx", "requests", "smtplib", "socket", "socketserver", "ssl", "urllib"}
FORBIDDEN = {"click", "torch"} | PROGRAMS | OBJECTS | NETWORK
# Numba can keep its machine code as a pickle only; kernels/cache.py says how that directory is guarded. What Linux has
# to be asked before a process may use matrix registers is no function of Python's.
EXCEPTIONS = {"kernels/cache.py": {"pickle"}, "kernels/host.py": {"ctypes"}}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "np.load", "os.fork", "os.forkpty"}
FORBIDDEN_BEGINNINGS = ("os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn")
# Patterns are written here and hold nothing of a user's but what is escaped, so none can take exponential time.
EXCEPTIONS_FOR_PATTERNS = {"files.py", "display/text.py"}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def room_of(file):
    """Return the room that a file of the package belongs to."""
    return file.split("/")[0].removesuffix(".py")


def floor_of(room):
    """Return the number of a room's floor, or None where the table does not know it."""
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def imported_names(tree):
    """Return the full dotted names that a file imports, wherever it does: a.b for `from a import b` too."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def faults(file, source):
    """Return what a file of this name and source does against the rules."""
    tree, room, found = ast.parse(source), room_of(file), []
    own = floor_of(room)
    if own is None and file != "__init__.py":
        found.append(f"{room} stands on no floor")
    for name in imported_names(tree):
        library, *rest = name.split(".")
        if library == "re" and file not in EXCEPTIONS_FOR_PATTERNS:
            found.append("imports re")
        if library == "rnn_cli":
            target = rest[0] if rest else ""
            floor = floor_of(target)
            if target not in (room, "__version__") and own is not None:
                beside = floor == own and target in BESIDE.get(room, set())
                if floor is None or not (floor < own or beside):
                    found.append(f"imports {name}")
        elif ONLY_IN.get(library, room) != room or library in FORBIDDEN - EXCEPTIONS.get(file, set()):
            found.append(f"imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS or called.startswith(FORBIDDEN_BEGINNINGS):
                found.append(f"calls {called}")
    return found


def test_no_room_stands_on_two_floors():
    rooms = [room for floor in FLOORS for room in floor]
    assert len(rooms) == len(set(rooms))


def test_rooms_beside_do_not_import_each_other():
    for room, others in BESIDE.items():
        for other in others:
            assert floor_of(room) == floor_of(other)
            assert room not in BESIDE.get(other, set())


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file):
    assert faults(file, (PACKAGE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "file, source",
    [
        ("layout.py", "import numba"),
        ("layout.py", "def f():\n    from rnn_cli.training import Trainer"),
        ("cells/lstm.py", "from rnn_cli import model"),
        ("cells/lstm.py", "from rnn_cli import Trainer"),
        ("kernels/vector.py", "from rnn_cli.cells.cell import Cell"),
        ("layout.py", "from rnn_cli.model import Model"),
        ("training.py", "import rnn_cli.cli.train"),
        ("training.py", "from rich.console import Console"),
        ("display/tables.py", "import typer"),
        ("display/tables.py", "from rnn_cli.cli import app"),
        ("checkpoint.py", "import pickle"),
        ("corpus.py", "from urllib.request import urlopen"),
        ("corpus.py", "eval('1')"),
        ("corpus.py", "import os\nos.system('ls')"),
        ("corpus.py", "import os\nos.execvp('ls', ['ls'])"),
        ("corpus.py", "import re"),
        ("checkpoint.py", "import numpy as np\nnp.load('x', allow_pickle=True)"),
        ("novelty.py", ""),
    ],
)
def test_a_breach_is_found(file, source):
    assert len(faults(file, source)) == 1


@pytest.mark.parametrize(
    "module, absent",
    [
        ("rnn_cli", {"numpy", "numba", "typer", "rich", "safetensors"}),
        ("rnn_cli.config", {"numpy", "numba", "typer", "rich"}),
        ("rnn_cli.cells", {"numba", "llvmlite", "typer", "rich"}),
        ("rnn_cli.layout", {"numba", "llvmlite", "typer", "rich"}),
        ("rnn_cli.model", {"typer", "rich", "safetensors"}),
    ],
)
def test_what_a_module_does_not_load(module, absent):
    command = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert module in loaded
    assert not absent & loaded
