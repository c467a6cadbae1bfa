"""Atomic files: at every moment the old content or the new one, whatever fails in between; and locks."""

from __future__ import annotations

import errno
import os
import platform
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rnn_cli.errors import RnnError, UsageError

try:
    import fcntl
    import pwd
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# Temporary files carry their host: in a directory that machines share a process number alone says nothing.
HOST = f"{zlib.crc32(os.fsencode(platform.node())):08x}"
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
WITHOUT_SYNC = {errno.EINVAL, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP}  # of a directory
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
LOCK_MODE = 0o644  # others may open a lock, and so test whether it is held


def unusable(error: OSError, sentence: str) -> RnnError:
    """Return the error for a file that cannot be used: a full disk is a failure (1), all else is bad input (2)."""
    return RnnError(sentence) if error.errno in FULL else UsageError(sentence)


def target_of(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path that `path` refers to, following symbolic links; it need not exist."""
    return Path(os.path.realpath(path))


def is_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Say whether two paths refer to the same file, following links; "-" is stdin, and they need not exist."""
    paths = os.fspath(one), os.fspath(other)
    if "-" not in paths and target_of(one) == target_of(other):
        return True
    try:
        return os.path.samestat(*(os.fstat(0) if path == "-" else os.stat(path) for path in paths))
    except OSError:
        return False


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the content of a file by `data` in one step that no crash or power cut can divide.

    A symbolic link stays, and its target is written. An existing file keeps its mode and group and, if this process
    may set it, its owner. On any failure the old file stays and the temporary one is removed. Raises OSError with the
    path.
    """
    target = target_of(path)
    try:
        existing = existing_status(target)
        temporary, descriptor = create_temporary(target)
        try:
            try:
                if existing:
                    os.chmod(temporary, mode_after_owner(descriptor, existing))
                write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, target)
            sync_directory(target.parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def existing_status(target: Path) -> os.stat_result | None:
    """Return the status of a regular file, None if it does not exist. Raises OSError for another kind of file."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(target))
    return status


def mode_after_owner(descriptor: int, existing: os.stat_result) -> int:
    """Give a new file the owner and group of an existing one, as far as allowed; return the mode for it.

    If the group cannot be kept, the group that it has instead gets no more than all others have.
    """
    mode = stat.S_IMODE(existing.st_mode) & 0o777
    if not hasattr(os, "fchown"):
        return mode
    for user, group in ((existing.st_uid, -1), (-1, existing.st_gid)):
        with suppress(OSError):
            os.fchown(descriptor, user, group)
    if os.fstat(descriptor).st_gid != existing.st_gid:
        mode &= 0o707 | (mode & 0o007) << 3
    return mode


def create_temporary(target: Path) -> tuple[Path, int]:
    """Create a file `.NAME.PID-HOST-RANDOM.tmp` beside `target`; return its path and its open descriptor."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{HOST}-{os.urandom(8).hex()}.tmp")
    return temporary, os.open(temporary, EXCLUSIVE, 0o666)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, however few the system takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_directory(directory: Path) -> None:
    """fsync a directory so that a rename survives a crash. Errors of file systems without it are ignored."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in WITHOUT_SYNC:
            raise


def sweep_stale(path: str | os.PathLike[str]) -> None:
    """Remove the temporary files for `path` that killed processes of this host and user have left."""
    if os.name != "posix":  # elsewhere os.kill(pid, 0) ends the process
        return
    target = target_of(path)
    pattern = re.compile(rf"\.{re.escape(target.name)}\.([1-9][0-9]{{0,8}})-{HOST}-[0-9a-f]{{16}}\.tmp")
    with suppress(OSError):
        for entry in os.scandir(target.parent):
            match = pattern.fullmatch(entry.name)
            if match and is_own_file(entry) and not is_running(int(match[1])):
                with suppress(OSError):
                    os.unlink(entry.path)


def is_own_file(entry: os.DirEntry[str]) -> bool:
    """Say whether a directory entry is a regular file of this user."""
    return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()


def is_running(process: int) -> bool:
    """Say whether a process of this number exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return True


@contextmanager
def lock(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold an exclusive lock on `path`, through an flock on `.NAME.lock` beside it.

    The lock ends with its process, even a killed one; the file is removed on release. If the system or the file system
    has no locks, nothing is held. Raises RnnError, naming the process and its user, if another run holds it.
    """
    if fcntl is None:
        yield
        return
    target = target_of(path)
    name = target.with_name(f".{target.name}.lock")
    try:
        descriptor = acquire(name, os.fspath(path))
    except OSError as error:
        raise RnnError(f"cannot lock '{os.fspath(path)}' with '{name}': {error.strerror or error}") from error
    try:
        yield
    finally:
        # Removed while it is still held: whoever opened it meanwhile sees in `acquire` that the name is gone.
        with suppress(OSError):
            os.unlink(name)
        os.close(descriptor)


def acquire(name: Path, path: str) -> int:
    """Return a descriptor of the locked lock file, which then holds the number of this process."""
    while True:
        descriptor, writable = open_lock(name, path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RnnError(
                    f"another run ({holder_of(descriptor)}) is writing '{path}'; wait for it or choose another file"
                ) from None
            except OSError as error:
                if error.errno not in WITHOUT_LOCKS:
                    raise
            if is_at(descriptor, name):  # if not, its holder removed it between our open and our lock
                if not re.fullmatch(rb"([0-9]+\n)?", os.read(descriptor, 21)):
                    raise UsageError(f"'{name}' is where '{path}' is locked, and is not a lock; name another file")
                if writable:
                    claim(descriptor, name)
                    return descriptor
                if not removed(name):  # a stale lock of another user, in a directory where only its owner removes it
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def claim(descriptor: int, name: Path) -> None:
    """Write the number of this process into a lock that it holds. If that fails, remove it and raise OSError."""
    try:
        with suppress(OSError):  # another user's
            os.fchmod(descriptor, LOCK_MODE)  # whatever the umask
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        removed(name)
        raise


def open_lock(name: Path, path: str) -> tuple[int, bool]:
    """Return a descriptor of the lock file, created if needed, and whether it can be written.

    Raises RnnError if it belongs to another user and cannot even be read.
    """
    try:
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, LOCK_MODE), True
    except PermissionError as error:
        if not os.path.lexists(name):
            raise
        problem = error
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW), False
    except FileNotFoundError:
        return open_lock(name, path)
    except PermissionError:
        raise RnnError(
            f"'{path}' is locked by '{name}', which {user_of(os.lstat(name).st_uid)} has closed to others "
            f"({problem.strerror}); wait for that run or, if it is over, remove the lock"
        ) from problem


def removed(name: Path) -> bool:
    """Remove a lock that this process holds; say whether that was allowed."""
    try:
        os.unlink(name)
    except OSError:
        return False
    return True


def holder_of(descriptor: int) -> str:
    """Return the process that holds a lock, and its user."""
    process = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
    owner = os.fstat(descriptor).st_uid
    return f"process {process}" if owner == os.geteuid() else f"process {process} of {user_of(owner)}"


def user_of(number: int) -> str:
    """Return the name of a user."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def is_at(descriptor: int, name: Path) -> bool:
    """Say whether `name` still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(name))
    except FileNotFoundError:
        return False


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise UsageError if no file can be written: no directory, no permission, not a regular file; RnnError if full."""
    target = Path(path)
    try:
        target = target_of(path)
        existing_status(target)
        temporary, descriptor = create_temporary(target)
        try:
            os.close(descriptor)
        finally:
            os.unlink(temporary)
    except OSError as error:
        if not os.path.isdir(target.parent):
            reason = f"there is no directory '{target.parent}'; create it"
        elif os.path.isdir(target):
            reason = "it is a directory; give a file name in it"
        else:
            reason = f"{error.strerror}; choose another file"
        raise unusable(error, f"cannot write '{os.fspath(path)}': {reason}") from error
