"""A manual page for each command, which mandoc accepts; and the line of --version."""

import shutil
import subprocess
from importlib import metadata

import pytest
from commands import run
from options import OPTIONS

from rnn_cli import __version__
from rnn_cli.cli.manual import manual_pages, roff
from rnn_cli.cli.version import checked_out

PAGES = manual_pages("2026-01-31")


def test_each_command_and_option_has_its_place():
    assert set(PAGES) == {"rnn.1", *(f"rnn-{option.command}.1" for option in OPTIONS)}
    for option in OPTIONS:
        assert f"{roff(option.name)}" in PAGES[f"rnn-{option.command}.1"], option


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc")
@pytest.mark.parametrize("name", PAGES)
def test_mandoc_has_no_complaint(tmp_path, name):
    (tmp_path / name).write_text(PAGES[name])
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", name], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_version_names_numba_and_commit():
    line = run("--version").text
    assert line.startswith(f"rnn {__version__} (")
    assert f"numba {metadata.version('numba')})\n" in line


@pytest.mark.parametrize("packed", [False, True])
def test_commit_of_a_checkout_is_found(tmp_path, packed):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    if packed:
        (tmp_path / ".git" / "packed-refs").write_text("# pack-refs\nabc123 refs/heads/main\n")
    else:
        (tmp_path / ".git" / "refs" / "heads" / "main").write_text("abc123\n")
    assert checked_out(tmp_path) == "abc123"
    assert checked_out(tmp_path / ".git") == ""
