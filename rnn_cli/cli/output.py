"""A file that a command writes as a whole, named by the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rnn_cli.cli.options import note
from rnn_cli.errors import UsageError


def check_output(output: Path, endings: Sequence[str], read: Sequence[str | Path], option: str = "--output") -> None:
    """Raise UsageError if a file to write does not end in one of `endings`, or would replace one that is read."""
    from rnn_cli.atomic_files import is_same

    if output.suffix.lower() not in endings:
        raise UsageError(f"{option} {output} must end in {' or '.join(endings)}, which says what to write")
    if any(is_same(output, file) for file in read if str(file) != "-"):
        raise UsageError(f"{option} {output} would replace a file that is read; name another one")


def write_output(output: Path, data: bytes, quiet: bool) -> None:
    """Write a file and say so. Raises UsageError if it cannot be written, RnnError if the disk is full."""
    from rnn_cli.atomic_files import unusable, write_atomically

    try:
        write_atomically(output, data)
    except OSError as problem:
        raise unusable(problem, f"{output} cannot be written: {problem.strerror}; name another file") from problem
    size = f"{len(data) / 1e6:.2f} MB" if len(data) >= 1e6 else f"{len(data) / 1e3:.0f} kB"
    note(f"wrote {output} ({size})", quiet)
