"""The cache of kernels: whatever is in its place, the result is right, and what is not private is not used."""

from __future__ import annotations

import compileall
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rnn_cli.checkpoint.checkpoint import Checkpoint, save_checkpoint
from rnn_cli.kernels.compiler import cache
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model
from rnn_cli.text.codecs import CharacterCodec

# A small kernel, and the tile, which is kept in another way. It says for each whether it was compiled.
PROGRAM = """
import numpy as np
from rnn_cli.kernels.compiler import cache
from rnn_cli.kernels.compiler.jit import entry_kernel
from rnn_cli.kernels.matmul.tile import install_tile

compiled = []
cache.on_compile.append(lambda: compiled.append(1))

@entry_kernel
def double(values):
    for k in range(values.size):
        values[k] *= 2

values = np.arange(4.0)
double(values)
install_tile(np.dtype(np.float32))
assert values.tolist() == [0, 2, 4, 6]
print(len(compiled))
"""
KERNELS = 2
Change = Callable[[bytes], bytes]
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"


def compiled(place: Path | str, before: str = "", **environment: str) -> int:
    """Run the program with a cache in this place; return how many kernels it compiled."""
    with tempfile.TemporaryDirectory() as empty:
        result = subprocess.run(
            [sys.executable, "-c", before + PROGRAM],
            env=os.environ | {"RNN_CACHE_DIR": str(place), "TMPDIR": empty} | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert (result.returncode, result.stderr) == (0, "")
    return int(result.stdout)


def files_in(place: Path) -> list[Path]:
    """Return all files below a directory."""
    return sorted(path for path in place.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that holds the program's kernels."""
    place = tmp_path_factory.mktemp("full") / "a" / "b"
    assert compiled(place) == KERNELS
    return place


@pytest.fixture
def place(full: Path, tmp_path: Path) -> Path:
    """Return a copy of the full cache."""
    copy = tmp_path / "cache"
    shutil.copytree(full, copy)
    return copy


def test_kernels_are_kept_in_a_private_directory(full: Path) -> None:
    (directory,) = full.iterdir()
    assert directory.name == f"kernels-{cache.sources_digest()}"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert len(files_in(full)) == KERNELS
    assert {path.suffix for path in files_in(full)} == {".kernel"}


def test_a_second_run_compiles_nothing(place: Path) -> None:
    before = [(path, path.read_bytes()) for path in files_in(place)]
    assert compiled(place) == 0
    assert [(path, path.read_bytes()) for path in files_in(place)] == before


def flipped(content: bytes, position: int) -> bytes:
    """Return the content with one bit turned round."""
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


def half(content: bytes) -> bytes:
    """Return the content as a full disk leaves it."""
    return content[: len(content) // 2]


def foreign(content: bytes) -> bytes:
    """Return what another program might have written."""
    return b"#!/bin/sh\necho another program wrote this file\n" * 9


@pytest.mark.parametrize("damage", [half, foreign])
def test_damaged_cache_file_is_compiled_and_replaced(place: Path, damage: Change) -> None:
    for path in files_in(place):
        path.write_bytes(damage(path.read_bytes()))
    assert compiled(place) == KERNELS
    assert compiled(place) == 0


@pytest.mark.parametrize(
    "damage",
    [
        half,
        foreign,
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[:20], id="within the digest"),
        pytest.param(lambda content: content[: cache.DIGEST_SIZE], id="digest only"),
        pytest.param(lambda content: content[:-1], id="without the last byte"),
        pytest.param(lambda content: content + b"x", id="one byte more"),
        pytest.param(lambda content: flipped(content, 0), id="digest changed"),
        pytest.param(lambda content: flipped(content, -1), id="content changed"),
        pytest.param(lambda content: bytes(len(content)), id="zeros"),
    ],
)
def test_nothing_is_read_from_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Change) -> None:
    announced: list[int] = []
    monkeypatch.setattr(cache, "on_compile", [lambda: announced.append(1)])
    path = tmp_path / "a.kernel"
    cache.write(path, ("machine code", list(range(100))))
    assert cache.read(path) == ("machine code", list(range(100)))
    assert announced == []
    path.write_bytes(damage(path.read_bytes()))
    assert cache.read(path) is None
    assert announced == [1]


def test_one_missing_file_is_compiled_again_alone(place: Path) -> None:
    files_in(place)[0].unlink()
    assert compiled(place) == 1
    assert compiled(place) == 0


def test_a_directory_in_place_of_a_file_is_left_alone(place: Path) -> None:
    path = files_in(place)[0]
    path.unlink()
    path.mkdir()
    assert compiled(place) == 1
    assert path.is_dir()
    assert len(files_in(place)) == KERNELS - 1


def test_off_caches_nothing(tmp_path: Path) -> None:
    assert compiled("off", HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path)) == KERNELS
    assert files_in(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a place of its own")
def test_default_is_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNN_CACHE_DIR", "")
    monkeypatch.setenv("HOME", "/home/me")
    for chosen, base in [("/caches", "/caches/rnn"), ("", "/home/me/.cache/rnn"), ("not/absolute", None)]:
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
        assert cache.base_directory() == (base and Path(base))


def test_file_in_place_of_the_directory_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    assert compiled(tmp_path / "file") == KERNELS
    assert (tmp_path / "file").read_text() == "keep me"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_directory_that_all_may_write_is_not_used(place: Path) -> None:
    (directory,) = place.iterdir()
    directory.chmod(0o777)
    for path in files_in(place):
        path.write_bytes(b"")
    assert compiled(place) == KERNELS
    assert all(path.stat().st_size == 0 for path in files_in(place))


@pytest.fixture
def inner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory that the cache would make, its place being chosen."""
    monkeypatch.setenv("RNN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "temporary_base", lambda: None)
    return tmp_path / f"kernels-{cache.sources_digest()}"


def test_a_new_directory_is_private_whatever_the_umask(inner: Path) -> None:
    mask = os.umask(0)
    try:
        assert cache.find_location().directory == inner
    finally:
        os.umask(mask)
    assert inner.stat().st_mode & 0o777 == 0o700
    assert cache.find_location().directory == inner


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o755, 0o701, 0o740])
def test_a_directory_that_is_open_to_others_is_not_used(inner: Path, mode: int) -> None:
    inner.mkdir()
    inner.chmod(mode)
    assert cache.find_location().directory is None
    inner.chmod(0o700)
    assert cache.find_location().directory == inner


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_a_link_in_place_of_the_directory_is_not_followed(inner: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    inner.symlink_to(target)
    assert cache.find_location().directory is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a directory away")
def test_a_directory_of_another_user_is_not_used(inner: Path) -> None:
    inner.mkdir(mode=0o700)
    os.chown(inner, 12345, 12345)
    assert cache.find_location().directory is None


@pytest.mark.parametrize("below", [".", "cache", "a/b/c"])
def test_file_in_the_cache_path_disables_the_cache(inner: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    inner.write_text("keep me")
    assert cache.find_location().directory is None
    monkeypatch.setenv("RNN_CACHE_DIR", str(inner / below))
    assert cache.find_location().directory is None
    assert inner.read_text() == "keep me"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_unwritable_directory_is_not_an_error(inner: Path, tmp_path: Path) -> None:
    inner.mkdir(mode=0o500)
    assert compiled(tmp_path) == KERNELS
    if os.geteuid() != 0:  # root writes there nevertheless
        assert files_in(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_full_disk_is_not_an_error_and_leaves_no_files(tmp_path: Path) -> None:
    # CPython ignores the signal, so that writing more than the limit fails with an error.
    assert compiled(tmp_path, FULL_DISK) == KERNELS
    assert files_in(tmp_path) == []
    assert compiled(tmp_path) == KERNELS


def test_the_digest_follows_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "rnn_cli"
    shutil.copytree(cache.PACKAGE, package)
    original = cache.sources_digest()
    monkeypatch.setattr(cache, "PACKAGE", package)
    assert cache.sources_digest() == original
    (package / "training.py").write_text("other")
    assert cache.sources_digest() == original
    digests = [original]
    (package / "kernels" / "deep" / "deeper").mkdir(parents=True)
    (package / "cells" / "deep").mkdir()
    for source in ("kernels/deep/a.py", "kernels/deep/deeper/a.py", "cells/deep/a.py"):
        (package / source).touch()
        digests.append(cache.sources_digest())
    sources = [path.relative_to(package) for name in ("kernels", "cells") for path in (package / name).rglob("*.py")]
    assert len(sources) > 20
    for source in sources:
        path = package / source
        path.write_bytes(path.read_bytes() + b"\n")
        digests.append(cache.sources_digest())
    (package / "cells" / "new.py").touch()
    digests.append(cache.sources_digest())
    (package / "cells" / "new.py").unlink()
    assert cache.sources_digest() == digests[-2]
    assert len(set(digests)) == len(digests)


def test_the_digest_follows_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {cache.sources_digest()}
    for module in (cache.numba, cache.llvmlite, np):
        with monkeypatch.context() as patch:
            patch.setattr(module, "__version__", "9.9")
            digests.add(cache.sources_digest())
    assert len(digests) == 4


# A program without sources, and directories that cannot be used


DIGEST = """
import sys
sys.path.insert(0, sys.argv[1])
from rnn_cli.kernels.compiler import cache, jit
print(cache.__file__, cache.sources_digest())
"""


def digest_of(path: Path) -> tuple[str, str]:
    """Return the file of the cache module in a copy of the package, and the digest of its sources."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", DIGEST, str(path)], capture_output=True, text=True, timeout=300, check=True
    )
    file, digest = result.stdout.split()
    return file, digest


def without_sources(package: Path) -> None:
    """Leave only the bytecode of a package, as `python -m compileall -b` and a deletion do."""
    assert compileall.compile_dir(package, legacy=True, quiet=2, force=True)
    for path in package.rglob("*.py"):
        path.unlink()


def zipped(package: Path) -> Path:
    """Put a package into a zip file and remove it."""
    archive = shutil.make_archive(str(package.parent / "program"), "zip", package.parent, package.name)
    shutil.rmtree(package)
    return Path(archive)


@pytest.mark.parametrize("form", ["bytecode", "zip", "zip of bytecode"])
def test_another_version_without_sources_has_another_digest(tmp_path: Path, form: str) -> None:
    digests = []
    for version in ("one", "two"):
        package = tmp_path / version / "rnn_cli"
        shutil.copytree(cache.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        kernel = package / "kernels" / "network" / "step.py"
        kernel.write_text(kernel.read_text() + f"\nVERSION = '{version}'\n")
        if form != "zip":
            without_sources(package)
        file, digest = digest_of(package.parent if form == "bytecode" else zipped(package))
        assert file.startswith(str(tmp_path / version))
        assert file.endswith(".py" if form == "zip" else ".pyc")
        digests.append(digest)
    assert "None" not in digests
    assert digests[0] != digests[1]


def test_nothing_is_kept_if_a_loaded_module_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "rnn_cli"
    shutil.copytree(cache.PACKAGE, package)
    monkeypatch.setattr(cache, "PACKAGE", package)
    monkeypatch.setenv("RNN_CACHE_DIR", str(tmp_path / "cache"))
    assert cache.find_location().directory is not None
    (package / "kernels" / "threads.py").unlink()
    assert cache.sources_digest() is None
    assert cache.find_location() == (
        None,
        ("the sources of the program cannot be read, which tell its versions apart",),
    )


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a temporary directory in place of the system's, and a file in place of the cache's."""
    (tmp_path / "file").write_text("keep me")
    monkeypatch.setenv("RNN_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(cache, "location", cache.find_location)
    root = tmp_path / "tmp"
    root.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    return root


def test_a_private_temporary_directory_stands_in(temporary: Path) -> None:
    directory, reasons = cache.find_location()
    assert directory is not None
    assert directory.parent.parent == temporary
    assert directory.parent.stat().st_mode & 0o777 == directory.stat().st_mode & 0o777 == 0o700
    assert [reason.partition("(")[0] for reason in reasons] == [f"'{temporary.parent}/file' cannot be used "]
    said = cache.announcement()
    assert said.startswith(
        f"compiling kernels (first run only); they are kept in '{directory}', as '{temporary.parent}/"
    )
    assert said.endswith("; set RNN_CACHE_DIR to a directory of your own")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize("attack", ["open", "link", "root"])
def test_a_temporary_directory_that_others_control_is_not_used(temporary: Path, attack: str) -> None:
    base = cache.temporary_base()
    assert base is not None
    if attack == "root":
        temporary.chmod(0o777)
    elif attack == "open":
        base.mkdir()
        base.chmod(0o755)
    else:
        (temporary / "other").mkdir(mode=0o700)
        base.symlink_to(temporary / "other")
    directory, reasons = cache.find_location()
    assert directory is None
    assert len(reasons) == 2
    said = cache.announcement()
    assert said.startswith("compiling kernels, in every run, as they cannot be kept: ")
    assert all(reason in said for reason in reasons)
    assert said.endswith("set RNN_CACHE_DIR to a directory of your own")
    temporary.chmod(0o1777)
    assert (cache.temporary_base() is not None) is True


def test_what_is_off_is_said_without_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNN_CACHE_DIR", "off")
    monkeypatch.setattr(cache, "location", cache.find_location)
    assert cache.announcement() == "compiling kernels (in every run, as RNN_CACHE_DIR is off)"


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_is_said_once(temporary: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    inner = temporary.parent / "cache" / f"kernels-{cache.sources_digest()}"
    monkeypatch.setenv("RNN_CACHE_DIR", str(inner.parent))
    said: list[str] = []
    monkeypatch.setattr(cache, "on_unkept", [said.append])
    calls: list[Path] = []
    real = cache.write_file

    def write_file(path: Path, data: bytes) -> None:
        calls.append(path)
        if path.is_relative_to(inner) or failing == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    monkeypatch.setattr(cache, "write_file", write_file)
    path = cache.find_location().directory
    assert path == inner
    for _ in range(2):
        cache.write(path / "a.kernel", 17)
    (sentence,) = said
    assert f"'{inner}' cannot be written (No space left on device)" in sentence
    assert sentence.endswith("set RNN_CACHE_DIR to a directory of your own")
    assert ("are not kept" in sentence) is (failing == 2)
    assert cache.read(path / "a.kernel") == (17 if failing == 1 else None)


def test_a_command_says_why_every_run_compiles(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = "print(cache.announcement())"
    for variables, words in (
        ({"RNN_CACHE_DIR": str(tmp_path / "file")}, "(first run only); they are kept in"),
        ({"RNN_CACHE_DIR": str(tmp_path / "cache")}, "(first run only)\n"),
        ({"RNN_CACHE_DIR": "", "XDG_CACHE_HOME": "relative"}, "there is no home directory"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", f"from rnn_cli.kernels.compiler import cache; {said}"],
            env=os.environ | {"TMPDIR": str(tmp_path)} | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        assert words in result.stdout


def test_a_command_compiles_once_says_so_and_survives_damage(tmp_path: Path) -> None:
    codec = CharacterCodec("abc", line_mode=True)
    config = NetworkConfig.for_symbols(len(codec), cell="lstm", hidden_size=16)
    model = Model.initialised(config, np.random.default_rng(1))
    save_checkpoint(tmp_path / "model", Checkpoint.of_language(config, codec, model.to_torch()))
    place = tmp_path / "cache"

    def predict() -> tuple[object, str]:
        result = subprocess.run(
            [sys.executable, "-m", "rnn_cli", "predict", "abca", "--json", "-m", str(tmp_path / "model")],
            env=os.environ | {"RNN_CACHE_DIR": str(place)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0
        return json.loads(result.stdout), result.stderr

    expected, said = predict()
    assert said == "compiling kernels (first run only)\n"
    assert predict() == (expected, "")
    for path in files_in(place):
        path.write_bytes(path.read_bytes()[:-1])
    assert predict() == (expected, said)
    assert predict() == (expected, "")
