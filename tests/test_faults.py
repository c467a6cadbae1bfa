"""Nothing is lost: whichever call fails and whenever a run is killed, the old model is there or the new one, whole."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from commands import ENVIRONMENT, PIPES, PROGRAM, SMALL, STREAM_TEXT, Result, run, run_process
from fault_injection import failing, faulty_files, in_child, interrupted, kill, train_until

from rnn_cli.atomic_files import lock
from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint

MODEL = "model.safetensors"
STEPS = 20
UNDISTURBED = 77
COMMAND = ["stream.txt", *SMALL, "--steps", STEPS, "--threads", 1]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a model after 5 steps ("old"), after 10 ("new"), and after all 20 ("whole")."""
    place = tmp_path_factory.mktemp("stages")
    (place / "stream.txt").write_bytes(STREAM_TEXT.encode())
    assert train_until(5, *COMMAND, cwd=place).code == 143
    shutil.copy(place / MODEL, place / "old")
    assert train_until(10, "--resume", cwd=place).code == 143
    shutil.copy(place / MODEL, place / "new")
    assert run("train", *COMMAND, "-m", "whole", cwd=place).code == 0
    assert load_checkpoint(place / "old").record["steps"] == 5
    return place


@pytest.fixture
def place(stages: Path, tmp_path: Path) -> Path:
    """Return a directory with the old model; its run remembers the text by the path of the first one."""
    shutil.copy(stages / "old", tmp_path / MODEL)
    return tmp_path


def content(path: Path) -> Any:
    """Return all of a model that must be the same from run to run."""
    model = load_checkpoint(path)
    tensors = {name: tensor.tobytes() for name, tensor in model.tensors().items()}
    return model.config, model.codec, model.record["training"], model.record["steps"], tensors


def check_whole(stages: Path, place: Path) -> None:
    """Assert that the old or the new model is there, writes, and goes on to the bits of a run without faults."""
    kept = (place / MODEL).read_bytes()
    assert kept in ((stages / "old").read_bytes(), (stages / "new").read_bytes())
    assert run("sample", "-l", 3, "--random-seed", 1, cwd=place).code == 0
    resumed = run("train", "--resume", "--threads", 2, cwd=place)
    assert resumed.code == 0, resumed.stderr
    assert content(place / MODEL) == content(stages / "whole")
    assert os.listdir(place) == [MODEL]  # what the fault left behind is swept
    shutil.copy(stages / "old", place / MODEL)


def save_new(stages: Path, place: Path) -> None:
    """Write the new model over the old one, as a run does."""
    with lock(place / MODEL):
        save_checkpoint(place / MODEL, load_checkpoint(stages / "new"))


def test_save_survives_a_kill_at_any_call(stages: Path, place: Path) -> None:
    def save(number: int) -> None:
        with faulty_files(number, kill):
            save_new(stages, place)

    for number in count(1):
        if in_child(save, number) != -signal.SIGKILL:
            break
        check_whole(stages, place)
    assert number == 15  # of the lock: open, ftruncate, write, unlink, close; and 8 of the save
    assert (place / MODEL).read_bytes() == (stages / "new").read_bytes()


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_run_survives_any_failing_call(stages: Path, place: Path, fault: int) -> None:
    def resume(number: int) -> int:
        with faulty_files(number, failing(fault)) as faulty:
            done = run("train", "--resume", cwd=place)
        if faulty.count < number:
            return UNDISTURBED
        if done.code:
            assert done.stderr.splitlines()[-1].startswith("rnn: error: ")
            assert "Traceback" not in done.stderr
        return done.code

    codes = set()
    for number in count(1):
        code = in_child(resume, number)
        codes.add(code)
        if content(place / MODEL) == content(stages / "whole"):  # what failed was not needed, or not any more
            shutil.copy(stages / "old", place / MODEL)
        else:
            assert code
        if code == UNDISTURBED:
            break
        check_whole(stages, place)
    # 2 is the code of a path that cannot be written, which is tested first; a full disk is not wrong usage.
    assert codes == {0, 1, UNDISTURBED} | ({2} if fault == errno.EIO else set())
    assert number == 18


SAVE = """
import sys
from rnn_cli.checkpoint.checkpoint import load_checkpoint, save_checkpoint
save_checkpoint(sys.argv[2], load_checkpoint(sys.argv[1]))
"""


def traced(stages: Path, place: Path, log: Path, *inject: str) -> tuple[int, list[str]]:
    """Save the new model under strace; return the exit code and the calls from where the temporary file is opened."""
    calls = ["-e", "trace=openat,write,fsync,close,rename,chmod"]
    command = ["strace", "-f", "-qq", "-o", log, *calls, *inject, sys.executable, "-c", SAVE, stages / "new"]
    done = subprocess.run(
        [*command, place / MODEL], env={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, timeout=60
    )
    names = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    return done.returncode, names


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.parametrize("fault", ["error=ENOSPC", "signal=KILL"])
def test_save_survives_any_failing_system_call(stages: Path, place: Path, tmp_path: Path, fault: str) -> None:
    log = tmp_path.with_suffix(".strace")
    code, calls = traced(stages, place, log)
    if code:
        pytest.skip("strace may not trace here")
    start = next(number for number, call in enumerate(calls) if ".tmp" in call)
    end = max(number for number, call in enumerate(calls) if call.startswith("fsync"))  # of the directory
    names = [call.split("(")[0] for call in calls]
    assert {"openat", "write", "fsync", "close", "rename"} <= set(names[start:end])
    for number in range(start, end + 1):
        name = names[number]
        shutil.copy(stages / "old", place / MODEL)
        when = names[: number + 1].count(name)
        code, _ = traced(stages, place, log, "-e", f"inject={name}:{fault}:when={when}")
        assert code != 0
        check_whole(stages, place)


# A save that fails does not end the training


def train_with_failing_saves(place: Path, stages: Path, which: range) -> Result:
    """Train, saving after each evaluation, where the saves of these numbers find the disk full."""
    from rnn_cli.checkpoint import checkpoint

    real, calls = checkpoint.write_atomically, count()

    def write(path: Any, data: bytes) -> None:
        if next(calls) in which:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    with mock.patch.object(checkpoint, "write_atomically", write), mock.patch("rnn_cli.cli.train.run.SAVE_SECONDS", 0):
        return run("train", stages / "stream.txt", *SMALL, "--steps", 200, "-m", "kept", cwd=place)


def test_full_disk_is_reported_and_retried(stages: Path, place: Path) -> None:
    done = train_with_failing_saves(place, stages, range(2))
    assert done.code == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "could not be saved" in line]
    assert len(said) == 2
    for line in said:
        assert line.startswith("the model could not be saved to kept (No space left on device), where it needs ")
        assert line.endswith(" bytes; the training continues and will try again")
    assert load_checkpoint(place / "kept").record["steps"] == 200


def test_failed_last_save_keeps_the_previous_model(stages: Path, place: Path) -> None:
    done = train_with_failing_saves(place, stages, range(2, 99))
    assert done.code == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("rnn: error: the model could not be saved to kept (No space left on device), where")
    assert message.endswith(" bytes; free some space or name another file with -m")
    assert load_checkpoint(place / "kept").record["steps"] == 100


def test_file_size_limit_in_a_process(stages: Path, place: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = run_process("train", "--resume", cwd=place, preexec_fn=limit)
    assert done.code == 1
    assert "File too large" in done.stderr
    check_whole(stages, place)


# Signals, whatever is being done


COMPUTING = "rnn_cli.kernels.threads.Team.run"
NUMBERS = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
HOOKS = {
    "loading a text": ("rnn_cli.text.corpus.open_sources", False),
    "loading a model": ("rnn_cli.checkpoint.checkpoint.read_description", False),
    "training": (COMPUTING, True),
    "validating": ("rnn_cli.training.trainer.Trainer.validation_loss", True),
    "saving": ("rnn_cli.checkpoint.checkpoint.write_atomically", True),
}


@NUMBERS
@pytest.mark.parametrize("target, saved", HOOKS.values(), ids=HOOKS.keys())
def test_training_is_stopped_while(
    stages: Path, place: Path, capfd: pytest.CaptureFixture[str], target: str, saved: bool, number: signal.Signals
) -> None:
    before = (place / MODEL).read_bytes()
    with interrupted(target, number):
        done = run("train", "--resume", cwd=place)
    assert (done.code, done.stdout) == (128 + number, b"")
    assert capfd.readouterr().err.endswith("; once more to stop at once\n")
    assert ((place / MODEL).read_bytes() != before) == saved
    complete = load_checkpoint(place / MODEL).progress is None  # the last save was the one
    assert ("continue with: rnn train --resume -m model.safetensors" in done.stderr) == (saved and not complete)
    assert run("train", "--resume", cwd=place).code == 0
    assert content(place / MODEL) == content(stages / "whole")


@NUMBERS
@pytest.mark.parametrize("command", [["sample"], ["sample", "-n", 3], ["evaluate"], ["predict", "the"]], ids=str)
def test_command_is_stopped_while_computing(
    place: Path, capfd: pytest.CaptureFixture[str], command: list[str], number: signal.Signals
) -> None:
    with interrupted(COMPUTING, number):
        done = run(*command, cwd=place, stdin=b"the cat")
    assert done.code == 128 + number
    assert capfd.readouterr().err == "stopping; once more to stop at once\n"


@NUMBERS
@pytest.mark.parametrize("delay", [0, 0.1, 0.3, 0.4, 0.5])  # in Numba, in LLVM, in what LLVM calls back
def test_command_is_stopped_while_compiling(place: Path, number: signal.Signals, delay: float) -> None:
    environment = {**ENVIRONMENT, "RNN_CACHE_DIR": "off"}
    with subprocess.Popen([*PROGRAM, "sample", "--random-seed", "1"], cwd=place, env=environment, **PIPES) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"compiling kernels (in every run, as RNN_CACHE_DIR is off)\n"
        time.sleep(delay)
        process.send_signal(number)
        assert process.stderr.readline() == b"stopping; once more to stop at once\n"
        assert process.wait(60) == 128 + number


def test_sampled_text_is_cut_off_cleanly(place: Path) -> None:
    with subprocess.Popen([*PROGRAM, "sample", "-l", "99999999"], cwd=place, env=ENVIRONMENT, **PIPES) as process:
        assert process.stdout is not None
        process.stdout.read(1000)
        process.send_signal(signal.SIGTERM)
        output, error = process.communicate(timeout=60)
    assert process.returncode == 143
    output.decode()
    assert error.endswith(b"stopping; once more to stop at once\n")


# Streams that vanish


@pytest.mark.parametrize("stream", ["closed pipe", "full", "not open"])
def test_vanished_stderr_does_not_lose_the_model(stages: Path, place: Path, stream: str) -> None:
    command = [*PROGRAM, "train", "--resume"]
    if stream == "not open":
        command = ["sh", "-c", 'exec "$@" 2>&- <&-', "sh", *command]
    reading, writing = os.pipe() if stream != "full" else (-1, os.open("/dev/full", os.O_WRONLY))
    if reading >= 0:
        os.close(reading)
    done = subprocess.run(command, cwd=place, env=ENVIRONMENT, **{**PIPES, "stderr": writing}, timeout=60)
    os.close(writing)
    assert done.returncode == 0
    assert content(place / MODEL) == content(stages / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", [["sample", "-l", "9"], ["evaluate", "stream.txt"], ["predict", "the"], ["info"]])
def test_full_stderr_does_not_lose_the_output(stages: Path, command: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        options = {**PIPES, "stderr": full, "env": {**ENVIRONMENT, "RNN_MODEL": "whole"}}
        done = subprocess.run([*PROGRAM, *command], cwd=stages, timeout=60, **options)
    assert done.returncode == 0
    assert done.stdout


# The log


def test_log_of_killed_run_has_no_gaps_or_duplicates(place: Path, stages: Path) -> None:
    """Reports behind the last save come again; so does the log when it is cut while it is written anew."""
    command = [stages / "stream.txt", *SMALL, "--steps", STEPS, "-m", "logged", "--log", "log"]
    assert train_until(10, *command, cwd=place).code == 143
    later = (place / "log").read_text()
    shutil.copy(place / "logged", place / "durable")

    def resume(number: int) -> None:
        with faulty_files(number, kill):
            run("train", "--resume", "-m", "logged", "--log", "log", cwd=place)

    for number in count(1):
        shutil.copy(place / "durable", place / "logged")
        (place / "log").write_text(later + later.replace('"step": ', '"step": 1')[-200:])

        if in_child(resume, number) != -signal.SIGKILL:
            break
        assert run("train", "--resume", "-m", "logged", "--log", "log", cwd=place).code == 0
        steps = [json.loads(line)["step"] for line in (place / "log").read_text().splitlines()]
        assert steps == sorted(set(steps)) == list(range(steps[0], STEPS + 1, steps[0]))
    assert number == 27
