"""rnn train --mpi: the bits of one process, one voice for all ranks, and an end for all if one is lost."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from commands import ENVIRONMENT, LINES_TEXT, PIPES, PROGRAM, STREAM_TEXT, Result, result, run
from safetensors.numpy import load_file

from rnn_cli.cli.train.launcher import Launch, launched
from rnn_cli.cpu_count import usable_cores

pytest.importorskip("mpi4py", reason="there is no MPI")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
SMALL = ["--hidden-size", 8, "--batch-size", 7, "--threads", 1, "--random-seed", 1, "--groups", 6]
DROPOUT = ["--dropout", 0.2, "--recurrent-dropout", 0.2]
WORDS = LINES_TEXT.split()
TEXTS = {
    "lines": LINES_TEXT,
    "stream": STREAM_TEXT,
    "labelled": "".join(f"{'back' if word[-1] in 'aou' else 'front'}\t{word}\n" for word in WORDS),
    "tagged": "the\tDET\ncat\tNOUN\nsat\tVERB\n\nso\tADV\nthey\tPRON\nsat\tVERB\n\n" * 20,
    "pairs": "".join(f"{word}\t{word.upper()[::-1]}\n" for word in WORDS),
    "series": "".join(f"{10 + number % 7}\n" for number in range(140)),
}
KINDS = {
    "lines": (3, ["lines", "--steps", 8]),
    "stream of gru": (
        4,
        ["stream", "--cell", "gru", "--layers", 2, "--average", 0.3, "--reset-chance", 0.2, "--steps", 8, *DROPOUT],
    ),
    "words": (2, ["stream", "--words", "--steps", 4]),
    "classify by rnn": (2, ["labelled", "--task", "classify", "--cell", "rnn", "--readout", "mean", "--epochs", 1]),
    "tag": (3, ["tagged", "--task", "tag", "--epochs", 2]),
    "translate": (4, ["pairs", "--task", "translate", "--epochs", 2]),
    "forecast": (2, ["series", "--task", "forecast", "--steps", 4]),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a text for each task."""
    if MPIEXEC is None:
        pytest.skip("there is no MPI")
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@contextmanager
def started(ranks: int, *arguments: object, cwd: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Start a training under mpiexec."""
    command = [str(MPIEXEC), "-n", str(ranks), *PROGRAM, "train", *map(str, arguments)]
    with subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, **{**PIPES, **options}) as process:
        try:
            yield process
        finally:
            process.kill()


def train(ranks: int, *arguments: object, cwd: Path, stdin: bytes = b"") -> Result:
    """Train under mpiexec."""
    with started(ranks, *arguments, cwd=cwd, stdin=subprocess.PIPE) as process:
        output, error = process.communicate(stdin, timeout=120)
    return result(process.returncode, output, error)


def assert_equal(one: Path, other: Path) -> None:
    """Check that two model files hold the same bits."""
    tensors, others = load_file(one), load_file(other)
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if tensors[name].tobytes() != others[name].tobytes()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_give_the_bits_of_one_process(place: Path, kind: str) -> None:
    ranks, arguments = KINDS[kind]
    alone = run("train", *arguments, *SMALL, "-m", "alone", cwd=place)
    assert alone.code == 0, alone.stderr
    done = train(ranks, *arguments, *SMALL, "--mpi", "-m", "together", cwd=place)
    assert done.code == 0, done.stderr
    assert_equal(place / "alone", place / "together")
    assert done.stderr.count("saved together") == 1


def test_stdin_reaches_all_ranks(place: Path) -> None:
    options = ["--steps", 3, "--hidden-size", 8, "--batch-size", 4, "--random-seed", 1]
    done = train(2, "-", *options, "--mpi", "-m", "together", cwd=place, stdin=TEXTS["lines"].encode())
    assert done.code == 0, done.stderr
    assert "groups            2        one for each rank" in done.stderr
    assert f"{max(1, usable_cores() // 2)} thread" in done.stderr  # of each rank
    assert run("train", "lines", *options, "--groups", 2, "-m", "alone", cwd=place).code == 0
    assert_equal(place / "alone", place / "together")


def ranks_of(mark: Path) -> dict[int, int]:
    """Return the processes of the ranks that run in a directory."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = dict(part.partition("=")[::2] for part in (process / "environ").read_text().split("\0"))
            if (process / "cwd").resolve() == mark and "PMI_RANK" in variables:
                found[int(variables["PMI_RANK"])] = int(process.name)
        except (OSError, UnicodeDecodeError):
            continue
    return found


def signalled(ranks: int, rank: int, number: signal.Signals, *arguments: object, cwd: Path) -> Result:
    """Train under mpiexec, and send a rank a signal after the first report.

    The log is a small pipe, so that the training cannot be over too early.
    """
    pipe = cwd / "log.pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    with started(ranks, *arguments, "--mpi", "--log", pipe, cwd=cwd) as process:
        while not select.select([reader], [], [], 0.1)[0]:
            assert process.poll() is None, process.communicate()
        os.kill(ranks_of(cwd)[rank], number)
        if number is signal.SIGTERM:
            os.set_blocking(reader, True)
            while os.read(reader, 1 << 16):
                pass
        output, error = process.communicate(timeout=120)
    os.close(reader)
    pipe.unlink()
    deadline = time.monotonic() + 30
    while ranks_of(cwd) and time.monotonic() < deadline:  # the launcher may end before those that it has killed
        time.sleep(0.1)
    assert ranks_of(cwd) == {}
    return result(process.returncode, output, error)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_lost_rank_ends_the_run_which_any_number_resumes(place: Path) -> None:
    run_of_ranks = ["stream", "--steps", 400, *SMALL]
    assert run("train", *run_of_ranks, "-m", "alone", cwd=place).code == 0
    stopped = signalled(3, 1, signal.SIGTERM, *run_of_ranks, "-m", "model", cwd=place)
    assert stopped.code == 128 + signal.SIGTERM, stopped.stderr
    assert "mpiexec -n 3 rnn train --mpi --resume -m model" in stopped.stderr
    saved = (place / "model").read_bytes()
    for ranks, rank, number in ((2, 1, signal.SIGKILL), (4, 3, signal.SIGSTOP)):
        lost = signalled(ranks, rank, number, "--resume", "-m", "model", cwd=place)
        assert lost.code not in (0, None)
        assert number is signal.SIGKILL or "rnn: error: rank 3 has not answered for 15 s" in lost.stderr
        assert (place / "model").read_bytes() == saved
    for ranks in (1, 2, 3):
        shutil.copy(place / "model", place / f"model{ranks}")
        resumed = train(ranks, "--resume", "--mpi", "-m", f"model{ranks}", cwd=place)
        assert resumed.code == 0, resumed.stderr
        assert_equal(place / "alone", place / f"model{ranks}")


def test_minutes_end_together(place: Path) -> None:
    done = train(2, "stream", "--minutes", 0.02, *SMALL, "--mpi", "-m", "model", cwd=place)
    assert done.code == 0, done.stderr
    assert "saved model" in done.stderr


def test_divergence_is_said_once(place: Path) -> None:
    wild = ["--cell", "rnn", "--activation", "relu", "--layers", 8, "--learning-rate", 10, "--clip-norm", 1e6]
    done = train(3, "stream", *wild, "--steps", 500, *SMALL, "--mpi", "-q", "-m", "model", cwd=place)
    assert done.code == 4, done.stderr
    assert done.stderr.count("diverged") == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["lines"], "a launcher started this command 3 times, and each would write the same files; add --mpi"),
        (["missing", "--mpi"], "cannot read 'missing'"),
        (["lines", "--mpi", "--groups", 2, *SMALL[:-2]], "this run has 2 groups, so it takes at most 2 ranks, not 3"),
    ],
)
def test_error_of_ranks_is_said_once(place: Path, arguments: list[object], message: str) -> None:
    done = train(3, *arguments, "--steps", 2, "-q", "-m", "new", cwd=place)
    assert done.code == 2, done.stderr
    assert done.stderr.startswith("rnn: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (place / "new").exists()


def test_rank_that_reads_another_text_is_named(place: Path) -> None:
    pipe = place / "text.pipe"
    os.mkfifo(pipe)
    with started(2, pipe, *SMALL, "--steps", 2, "--mpi", "-m", "new", cwd=place) as process:
        assert process.stderr
        pipe.write_text(STREAM_TEXT)
        while b" parameters, " not in process.stderr.readline():
            assert process.poll() is None
        pipe.write_text(STREAM_TEXT.upper())
        error = process.stderr.read()
        assert process.wait() == 2
    assert error.startswith(b"rnn: error: rank 1 on ")
    assert error.count(b"\n") == 1


def test_dry_run_predicts_other_networks(place: Path) -> None:
    done = train(2, "lines", *SMALL, "--mpi", "--dry-run", cwd=place)
    assert done.code == 0, done.stderr
    assert "ranks                  2, of about 4 rows" in done.text
    assert done.text.count("gain, ") == 2
    assert "gain, " not in run("train", "lines", *SMALL, "--dry-run", cwd=place).text


def test_one_rank_works_and_says_so(place: Path) -> None:
    done = run("train", "lines", *SMALL, "--mpi", "--steps", 1, "-m", "model", cwd=place)
    assert done.code == 0, done.stderr
    assert "one rank: no launcher has started others" in done.stderr


class Unloadable(ModuleType):
    """The package mpi4py, if it finds no library."""

    def __getattr__(self, name: str) -> object:
        """Raise what mpi4py raises."""
        raise RuntimeError("cannot load MPI library")


@pytest.mark.parametrize(
    "module, message",
    [(None, "pip install 'rnn-cli[mpi]'"), (Unloadable("mpi4py"), "mpi4py finds no MPI library")],
    ids=["no package", "no library"],
)
def test_missing_mpi_is_said(place: Path, monkeypatch: pytest.MonkeyPatch, module: object, message: str) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", module)  # type: ignore[arg-type]
    done = run("train", "lines", "--mpi", cwd=place)
    assert done.code == 2
    assert message in done.stderr


def test_launcher_of_another_mpi_is_noticed(place: Path) -> None:
    variables = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}
    done = run("train", "lines", "--mpi", cwd=place, env=variables)
    assert done.code == 2
    assert "started 4 processes, but MPI sees 1" in done.stderr
    assert run("train", "lines", "--mpi", cwd=place, env=variables | {"OMPI_COMM_WORLD_RANK": "3"}).stderr == ""


@pytest.mark.parametrize(
    "variables, launch",
    [
        ({}, (1, 0)),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, (4, 3)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, (2, 1)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, (8, 5)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, (1, 0)),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, (1, 0)),
        ({"PMI_SIZE": "many", "PMI_RANK": ""}, (1, 0)),
    ],
)
def test_launchers_are_known_by_their_variables(variables: dict[str, str], launch: tuple[int, int]) -> None:
    assert launched(variables) == Launch(*launch)
