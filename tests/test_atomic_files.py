"""Atomic writing: whatever call fails, the file is whole and nothing is left beside it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rnn_cli import atomic_files as files
from rnn_cli.atomic_files import check_writable, lock, sweep_stale, write_atomically
from rnn_cli.errors import RnnError, UsageError

OLD, NEW = b"old content", b"new content " * 1000
CALLS = ("open", "write", "fsync", "replace", "close", "chmod")


class FailAt:
    """Makes the Nth call of the given functions of os raise, and counts the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, failure: BaseException) -> None:
        self.count, self.number, self.failure = 0, number, failure
        for name in CALLS:
            monkeypatch.setattr(files.os, name, self.wrap(getattr(os, name), name))

    def wrap(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if name == "close":
                real(*arguments)
            if self.count == self.number:
                raise self.failure
            if name == "write":  # in two pieces, so that short writes are met
                return real(arguments[0], arguments[1][:7000])
            return None if name == "close" else real(*arguments, **options)

        return call


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", [True, False])
def test_any_failing_call_leaves_a_complete_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool, failure: BaseException
) -> None:
    path = tmp_path / "model"
    number, failures = 0, 0
    while True:
        number += 1
        path.unlink(missing_ok=True)
        if existing:
            path.write_bytes(OLD)
        with monkeypatch.context() as patch:
            faults = FailAt(patch, number, failure)
            try:
                write_atomically(path, NEW)
            except type(failure) as error:
                failures += 1
                named = getattr(error, "filename", str(path)) == str(path)
                assert named
        assert [entry.name for entry in tmp_path.iterdir()] in (["model"], [] if not existing else ["model"])
        if path.exists():
            assert path.read_bytes() in ((OLD, NEW) if existing else (NEW,))
        if faults.count < number:
            break
    assert failures == number - 1
    # open, two writes, fsync, close, replace; open, fsync, close of the directory; chmod, to the old mode
    assert failures == 9 + existing
    assert path.read_bytes() == NEW


def test_file_size_limit_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(OLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(OSError, match="model") as caught:
            write_atomically(path, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == ["model"]
    assert path.read_bytes() == OLD


def test_symbolic_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "model"
    link.symlink_to(Path("far", "real"))
    for data in (OLD, NEW):  # first the target does not exist
        write_atomically(link, data)
        assert link.is_symlink()
        assert (tmp_path / "far" / "real").read_bytes() == data


def test_permissions_are_kept_or_follow_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "model"
    before = os.umask(0o027)
    try:
        write_atomically(path, OLD)
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o604)
        write_atomically(path, NEW)
        assert path.stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(before)


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="not a regular file"):
        write_atomically(fifo, NEW)
    assert fifo.is_fifo()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "missing" / "model", NEW)


def dead_process() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_sweep_removes_only_files_of_dead_processes(tmp_path: Path) -> None:
    dead, host, random = dead_process(), files.HOST, "0123456789abcdef"
    stale = tmp_path / f".model.{dead}-{host}-{random}.tmp"
    others = [
        f".model.{os.getpid()}-{host}-{random}.tmp",
        f".model.{os.getppid()}-{host}-{random}.tmp",
        f".model.{dead}-00000000-{random}.tmp",
        f".model.{dead}-{host}-{random}.tmp.txt",
        f".model2.{dead}-{host}-{random}.tmp",
        f"model.{dead}-{host}-{random}.tmp",
        f".xmodel.{dead}-{host}-{random}.tmp",
        f".model.{dead}-{host}-short.tmp",
        "model",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"")
    link = tmp_path / f".model.{dead}-{host}-{random[::-1]}.tmp"
    link.symlink_to(tmp_path / "model")
    stale.write_bytes(b"half")
    sweep_stale(tmp_path / "model")
    assert sorted(os.listdir(tmp_path)) == sorted([*others, link.name])
    sweep_stale(tmp_path / "missing" / "model")


def test_temporary_file_of_a_killed_writer_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "model [1].x"
    path.write_bytes(OLD)
    code = (
        "import os, signal, sys; from rnn_cli import atomic_files as files\n"
        "files.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(sys.argv[1], b'new')"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    sweep_stale(path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == OLD


HOLD = """
import sys
from rnn_cli.atomic_files import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Return a process that holds the lock until its stdin ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_second_run_is_told_which_process_holds_the_lock(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("model")
    with holder(tmp_path / "model") as process:
        for path in (tmp_path / "model", link):
            with pytest.raises(RnnError, match=f"process {process.pid}\\b") as caught, lock(path):
                pass
            assert caught.value.exit_code == 1
    assert os.listdir(tmp_path) == ["link"]
    with lock(tmp_path / "model"):
        assert (tmp_path / ".model.lock").stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["link"]


def test_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    with holder(tmp_path / "model") as process:
        process.kill()
    assert (tmp_path / ".model.lock").exists()
    with lock(tmp_path / "model"):
        assert (tmp_path / ".model.lock").read_text() == f"{os.getpid()}\n"
    assert not os.listdir(tmp_path)


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a directory in which all users may write; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@contextmanager
def another_user(path: Path, mode: int = 0o444) -> Iterator[None]:
    """Act as a user to whom a lock file belongs to another one; without root's rights by the mode of the file."""
    lock_file = path.with_name(f".{path.name}.lock")
    if os.geteuid() == 0:
        os.seteuid(12345)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        lock_file.chmod(mode)
        yield


def test_another_user_is_told_who_holds_the_model(shared: Path) -> None:
    path = shared / "model"
    with holder(path) as process, another_user(path), pytest.raises(RnnError) as caught, lock(path):
        pass
    of = " of root" if os.geteuid() == 0 else ""
    assert f"another run (process {process.pid}{of}) is writing '{path}'; wait for it" in str(caught.value)
    assert caught.value.exit_code == 1
    assert os.listdir(shared) == []


def test_another_user_takes_a_stale_lock_over(shared: Path) -> None:
    path = shared / "model"
    with holder(path) as process:
        process.kill()
    assert (shared / ".model.lock").exists()
    with another_user(path), lock(path):
        assert (shared / ".model.lock").read_text() == f"{os.getpid()}\n"
        assert (shared / ".model.lock").stat().st_uid == os.geteuid()
    assert os.listdir(shared) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_stale_lock_that_stays_is_held_all_the_same(shared: Path) -> None:
    path = shared / "model"
    with holder(path) as process:
        process.kill()
    shared.chmod(0o1777)  # only the owner removes a file
    with another_user(path), lock(path), pytest.raises(RnnError, match="another run"), lock(path):
        pass
    assert os.listdir(shared) == [".model.lock"]


def test_a_lock_that_is_closed_to_others_is_explained(shared: Path) -> None:
    path = shared / "model"
    (shared / ".model.lock").touch(mode=0o600)
    with another_user(path, 0), pytest.raises(RnnError) as caught, lock(path):
        pass
    assert f"'{path}' is locked by '{shared}/.model.lock', which " in str(caught.value)
    assert "has closed to others (Permission denied); wait for that run or, if it is over, remove" in str(caught.value)


def test_a_lock_can_be_opened_by_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with lock(tmp_path / "model"):
            assert (tmp_path / ".model.lock").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


@pytest.mark.parametrize("call", ["open", "ftruncate", "pwrite"])
def test_a_full_disk_while_locking_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, fail)
        with pytest.raises(RnnError) as caught, lock(path):
            pass
    assert str(caught.value) == f"cannot lock '{path}' with '{tmp_path}/.model.lock': No space left on device"
    assert caught.value.exit_code == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number, code", [(errno.ENOSPC, 1), (errno.EDQUOT, 1), (errno.EACCES, 2), (errno.EROFS, 2)])
def test_a_full_disk_is_a_failure_not_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "open", fail)
    with pytest.raises(RnnError, match="model") as caught:
        check_writable(tmp_path / "model")
    assert caught.value.exit_code == code


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_keeps_the_owner_and_group_of_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(OLD)
    os.chown(path, 12345, 23456)
    path.chmod(0o660)
    write_atomically(path, NEW)
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 23456, 0o660)


@pytest.mark.parametrize("mode, kept", [(0o664, 0o644), (0o640, 0o600), (0o666, 0o666), (0o674, 0o644)])
def test_a_group_that_cannot_be_kept_gets_no_more_than_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, kept: int
) -> None:
    path = tmp_path / "model"
    path.write_bytes(OLD)
    path.chmod(mode)
    status = path.stat()
    fields = [*status[:5], status.st_gid + 1, *status[6:]]  # as if the group were another one
    monkeypatch.setattr(files, "existing_status", lambda target: os.stat_result(fields))
    monkeypatch.setattr(files.os, "fchown", lambda *arguments: None)
    write_atomically(path, NEW)
    assert path.stat().st_mode & 0o777 == kept


def test_lock_file_removed_before_it_was_locked_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = tmp_path / ".model.lock"
    real, calls = files.fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not calls:
            name.unlink()  # as the holder does between our open and our lock
        calls.append(operation)
        real(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with lock(tmp_path / "model"):
        assert len(calls) == 2
        assert name.exists()


@pytest.mark.parametrize("without", ["fcntl", "flock"])
def test_work_continues_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if without == "fcntl":
        monkeypatch.setattr(files, "fcntl", None)
    else:
        monkeypatch.setattr(files.fcntl, "flock", flock)
    with lock(tmp_path / "model"):
        write_atomically(tmp_path / "model", NEW)
    assert os.listdir(tmp_path) == ["model"]


def test_check_writable(tmp_path: Path) -> None:
    path = tmp_path / "model"
    check_writable(path)
    path.write_bytes(OLD)
    check_writable(path)
    assert os.listdir(tmp_path) == ["model"]
    (tmp_path / "loop").symlink_to("loop")
    for bad, reason in (
        (tmp_path, "is a directory"),
        (tmp_path / "missing" / "model", "no directory .*missing"),
        (path / "model", "no directory"),
        (Path("/dev/null"), "not a regular file"),
        (tmp_path / ("x" * 240), "too long"),
        (tmp_path / "loop", "symbolic links"),
    ):
        with pytest.raises(UsageError, match=reason):
            check_writable(bad)


@pytest.mark.parametrize("name", ["open", "fsync"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP])
def test_directory_without_fsync_is_not_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    whole, call = tmp_path / "model", getattr(os, name)

    def failing(target: object, *rest: int) -> int:
        if (target == tmp_path) if name == "open" else os.path.isdir(f"/proc/self/fd/{target}"):
            raise OSError(number, os.strerror(number))
        return call(target, *rest)

    monkeypatch.setattr(os, name, failing)
    write_atomically(whole, b"new")
    assert whole.read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_writable_needs_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UsageError, match="Permission denied"):
        check_writable(tmp_path / "model")


def test_the_directory_is_synced_after_the_new_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: the content, the name, the directory that holds the name."""
    calls, fsync, replace = [], os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        calls.append("directory" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "file")
        fsync(descriptor)

    def watched_replace(old: object, new: object) -> None:
        calls.append("name")
        replace(old, new)  # type: ignore[arg-type]

    monkeypatch.setattr(files.os, "fsync", watched_fsync)
    monkeypatch.setattr(files.os, "replace", watched_replace)
    write_atomically(tmp_path / "model", NEW)
    assert calls == ["file", "name", "directory"]


def test_temporary_files_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / f".model.{dead_process()}-{files.HOST}-0123456789abcdef.tmp"
    stale.write_bytes(b"half")
    own = os.getuid()
    monkeypatch.setattr(files.os, "getuid", lambda: own + 1)
    sweep_stale(tmp_path / "model")
    assert stale.exists()
    monkeypatch.setattr(files.os, "getuid", lambda: own)
    sweep_stale(tmp_path / "model")
    assert not stale.exists()


@pytest.mark.parametrize("content", ["", "1\n", "98765432109876543\n"])
def test_a_stale_lock_holds_its_new_holder_only(tmp_path: Path, content: str) -> None:
    """The number of a killed holder may be longer than that of the new one."""
    (tmp_path / ".model.lock").write_text(content)
    with lock(tmp_path / "model"):
        assert (tmp_path / ".model.lock").read_text() == f"{os.getpid()}\n"


def test_the_name_of_a_lock_goes_before_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it went after it, a run that has locked the file meanwhile would lose its name."""
    name, close, there = tmp_path / ".model.lock", os.close, []

    def watched(descriptor: int) -> None:
        there.append(name.exists())
        close(descriptor)

    with lock(tmp_path / "model"):
        monkeypatch.setattr(files.os, "close", watched)
    monkeypatch.undo()
    assert there == [False]
