"""Files that are whole at every moment: the old content or the new one, whatever fails between."""

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
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# Temporary files carry their host: in a directory that machines share a process number alone says nothing.
HOST = f"{zlib.crc32(os.fsencode(platform.node())):08x}"
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
WITHOUT_SYNC = {errno.EINVAL, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP}  # of a directory


def target_of(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path that `path` leads to, symbolic links followed; it need not exist."""
    return Path(os.path.realpath(path))


def is_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Say whether two paths, of which "-" is stdin, lead to one file, be it by links; they need not exist."""
    paths = os.fspath(one), os.fspath(other)
    if "-" not in paths and target_of(one) == target_of(other):
        return True
    try:
        return os.path.samestat(*(os.fstat(0) if path == "-" else os.stat(path) for path in paths))
    except OSError:
        return False


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Make `data` the content of a file, in one step that no crash or power cut can halve.

    A symbolic link stays, and its target is written. An existing file keeps its permissions. On any
    failure the old file stays and the temporary one is removed. Raises OSError with the path.
    """
    target = target_of(path)
    try:
        mode = existing_mode(target)
        temporary, descriptor = create_temporary(target)
        try:
            try:
                if mode is not None:
                    os.chmod(temporary, mode)
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


def existing_mode(target: Path) -> int | None:
    """Return the permissions of a regular file, None where there is none. Raises OSError for another kind."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(target))
    return stat.S_IMODE(mode) & 0o777


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
    """Make a new name in a directory last. Where that cannot be done for this directory, it is let off."""
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
    if os.name != "posix":  # elsewhere os.kill(pid, 0) is no question
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
    """Hold the only right to write `path`, through an flock on `.NAME.lock` beside it.

    The lock ends with its process, even a killed one; the file is removed on release. Where the system or the
    file system has no locks, nothing is held. Raises RnnError, naming the process, where another holds it.
    """
    if fcntl is None:
        yield
        return
    target = target_of(path)
    name = target.with_name(f".{target.name}.lock")
    descriptor = acquire(name, os.fspath(path))
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
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
                raise RnnError(
                    f"another run (process {holder}) is writing '{path}'; wait for it or choose another file"
                ) from None
            except OSError as error:
                if error.errno not in WITHOUT_LOCKS:
                    raise
            if is_at(descriptor, name):
                if not re.fullmatch(rb"([0-9]+\n)?", os.read(descriptor, 21)):
                    raise UsageError(f"'{name}' is where '{path}' is locked, and is no lock; name another file")
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it between our open and our lock


def is_at(descriptor: int, name: Path) -> bool:
    """Say whether `name` still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(name))
    except FileNotFoundError:
        return False


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise UsageError where no file can be written: no directory, no permission, not a regular file."""
    target = Path(path)
    try:
        target = target_of(path)
        existing_mode(target)
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
        raise UsageError(f"cannot write '{os.fspath(path)}': {reason}") from error
