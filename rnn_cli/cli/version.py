"""The line that rnn --version prints: the version, the commit it was built from, and the version of Numba."""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata
from pathlib import Path

from rnn_cli import __version__

COMMIT_FILE = "commit.txt"  # in the package, written when a wheel is built
SHOWN = 9  # digits of a commit


def version_line() -> str:
    """Return the version, with what can be found out about the rest."""
    parts = []
    if commit := built_from() or checked_out():
        parts.append(f"commit {commit[:SHOWN]}")
    with suppress(metadata.PackageNotFoundError):
        parts.append(f"numba {metadata.version('numba')}")
    return f"rnn {__version__}" + (f" ({', '.join(parts)})" if parts else "")


def built_from() -> str:
    """Return the commit that the wheel was built from, or nothing."""
    with suppress(OSError, UnicodeError):
        return hexadecimal((Path(__file__).parents[1] / COMMIT_FILE).read_text("ascii"))
    return ""


def checked_out(root: Path = Path(__file__).parents[2]) -> str:
    """Return the commit of the checkout that the program runs from, or nothing."""
    with suppress(OSError, UnicodeError):
        if not (root / "pyproject.toml").is_file():
            return ""
        git = root / ".git"
        if git.is_file():  # a worktree
            git = root / git.read_text("utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref: "):
            return hexadecimal(head)
        name, common = head.removeprefix("ref: "), git
        if (git / "commondir").is_file():
            common = git / (git / "commondir").read_text("utf-8").strip()
        if (common / name).is_file():
            return hexadecimal((common / name).read_text("ascii"))
        for line in (common / "packed-refs").read_text("utf-8").splitlines():
            if line.endswith(f" {name}"):
                return hexadecimal(line.split(" ")[0])
    return ""


def hexadecimal(text: str) -> str:
    """Return a commit without blanks, or nothing if it is not a number."""
    text = text.strip()
    return text if text and set(text) <= set("0123456789abcdef") else ""
