"""The layers of the package: imports go strictly down, and each library is imported in one folder only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rnn_cli

PACKAGE = Path(rnn_cli.__file__).parent

# Layers, lowest first. A folder, or a module that lies beside the folders, may import itself and the layers below it.
LAYERS = [
    {"bits", "errors", "signals", "rng", "atomic_files", "config", "cpu_count"},
    {"cells"},
    {"kernels"},
    {"network", "text"},
    {"checkpoint"},
    {"training"},
    {"language"},
    {"tasks"},
    {"inspect", "export", "serving", "sweep", "writing"},
    {"display"},
    {"cli"},
    {"__main__"},
]
# The modules of the lowest layer import one another in this order.
GROUND = ["errors", "signals", "rng", "config", "atomic_files", "cpu_count"]
ONLY_IN = {
    "numba": "kernels",
    "llvmlite": "kernels",
    "rich": "display",
    "typer": "cli",
    "prompt_toolkit": "display/editor.py",
    "optuna": "sweep",
    "mpi4py": "training/mpi.py",
}
# Libraries that run programs or code, or open connections; and click, which only Typer may import.
PROGRAMS = {"cffi", "code", "codeop", "ctypes", "multiprocessing", "pty", "runpy", "subprocess", "webbrowser"}
OBJECTS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
NETWORK = {"asyncio", "ftplib", "http", "httpx", "requests", "smtplib", "socket", "socketserver", "ssl", "urllib"}
FORBIDDEN = {"click", "torch"} | PROGRAMS | OBJECTS | NETWORK
# Numba pickles its machine code; kernels/compiler/cache.py describes how that directory is protected. Linux requires a
# system call before a process may use matrix registers, and Python has no function for it.
EXCEPTIONS = {
    "kernels/compiler/cache.py": {"pickle"},
    "kernels/simd/cpu.py": {"ctypes"},
    "serving/http.py": {"asyncio"},
    "serving/connections.py": {"asyncio", "socket"},
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "np.load", "os.fork", "os.forkpty"}
FORBIDDEN_BEGINNINGS = ("os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn")
# Only these files may use regular expressions. Their patterns contain no user input that is not escaped, so none can
# take exponential time.
EXCEPTIONS_FOR_PATTERNS = {"atomic_files.py", "display/stdout.py", "cli/options.py", "text/codecs/tokens.py"}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def part_of(file):
    """Return the folder or module directly below the package that a file belongs to."""
    return file.split("/")[0].removesuffix(".py")


def layer_of(part):
    """Return the index of a part's layer, or None if it has none."""
    return next((index for index, parts in enumerate(LAYERS) if part in parts), None)


def may_import(part, target):
    """Say whether a part may import another one."""
    if part in GROUND and target in GROUND:
        return GROUND.index(target) < GROUND.index(part)
    return layer_of(target) is not None and layer_of(target) < layer_of(part)


def imported_names(tree):
    """Return the full dotted names of all imports in a file, also inside functions; a.b for `from a import b`."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def faults(file, source):
    """Return the violations of the rules in a file with this name and source."""
    tree, part, found = ast.parse(source), part_of(file), []
    if layer_of(part) is None and file != "__init__.py":
        found.append(f"{part} is in no layer")
    for name in imported_names(tree):
        library, *rest = name.split(".")
        if library == "re" and file not in EXCEPTIONS_FOR_PATTERNS:
            found.append("imports re")
        if library == "rnn_cli":
            target = rest[0] if rest else ""
            if target not in (part, "__version__") and layer_of(part) is not None and not may_import(part, target):
                found.append(f"imports {name}")
        elif ONLY_IN.get(library, part) not in (part, file) or library in FORBIDDEN - EXCEPTIONS.get(file, set()):
            found.append(f"imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS or called.startswith(FORBIDDEN_BEGINNINGS):
                found.append(f"calls {called}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file):
    assert faults(file, (PACKAGE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "file, source",
    [
        ("network/parameters.py", "import numba"),
        ("network/model.py", "def f():\n    from rnn_cli.training.trainer import Trainer"),
        ("cells/lstm.py", "from rnn_cli import network"),
        ("cells/lstm.py", "from rnn_cli import Trainer"),
        ("cells/lstm.py", "from rnn_cli.kernels.simd.vector import load"),
        ("network/parameters.py", "from rnn_cli.text.codecs import Codec"),
        ("text/corpus.py", "from rnn_cli.network.config import NetworkConfig"),
        ("training/trainer.py", "from rnn_cli.language.sampling import Sampler"),
        ("training/trainer.py", "import rnn_cli.cli.train"),
        ("training/data_parallel.py", "from mpi4py import MPI"),
        ("training/trainer.py", "from rich.console import Console"),
        ("errors.py", "from rnn_cli.config import Config"),
        ("display/tables.py", "import typer"),
        ("display/tables.py", "import prompt_toolkit"),
        ("display/tables.py", "from rnn_cli.cli import app"),
        ("checkpoint/checkpoint.py", "import pickle"),
        ("text/corpus.py", "from urllib.request import urlopen"),
        ("text/corpus.py", "eval('1')"),
        ("text/corpus.py", "import os\nos.system('ls')"),
        ("text/corpus.py", "import os\nos.execvp('ls', ['ls'])"),
        ("text/corpus.py", "import re"),
        ("checkpoint/checkpoint.py", "import numpy as np\nnp.load('x', allow_pickle=True)"),
        ("novelty.py", ""),
    ],
)
def test_violation_is_found(file, source):
    assert len(faults(file, source)) == 1


@pytest.mark.parametrize(
    "module, absent",
    [
        ("rnn_cli", {"numpy", "numba", "typer", "rich", "safetensors"}),
        ("rnn_cli.config", {"numpy", "numba", "typer", "rich"}),
        ("rnn_cli.cells", {"numba", "llvmlite", "typer", "rich"}),
        ("rnn_cli.network.parameters", {"numba", "llvmlite", "typer", "rich"}),
        ("rnn_cli.network.plain", {"numba", "llvmlite", "typer", "rich"}),
        ("rnn_cli.network.model", {"typer", "rich", "safetensors"}),
    ],
)
def test_module_loads_without_libraries(module, absent):
    command = f"import sys, {module}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert module in loaded
    assert not absent & loaded
