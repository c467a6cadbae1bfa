"""Each kind of report in reports.py has a case, and the user sees what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from commands import LINES_TEXT, SMALL, run
from reports import REPORTS, Report

KINDS = {
    "validation",
    "detection",
    "symptoms",
    "escapes",
    "prompts",
    "directories",
    "resources",
    "texts",
    "columns",
    "rare characters",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small model of lines."""
    place = tmp_path_factory.mktemp("model")
    (place / "lines.txt").write_text(LINES_TEXT)
    assert run("train", "lines.txt", *SMALL, "--steps", 2, "-m", "lines.model", cwd=place).code == 0
    return place / "lines.model"


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: f"{report.kind}: {report.what}")
def test_the_user_sees_what_helps(tmp_path: Path, model: Path, report: Report) -> None:
    for name in ("lines.model", "other.model"):
        (tmp_path / name).write_bytes(model.read_bytes())
    for name, content in report.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(*shlex.split(report.command), stdin=report.stdin.encode(), cwd=tmp_path)
    assert done.code == report.code, done.stderr
    for word in report.says:
        assert re.search(word, done.stderr), (word, done.stderr)
    for word in report.prints:
        assert re.search(word, done.text), (word, done.text)
    for word in report.never:
        assert word not in done.stderr + done.text
    if report.code:
        assert done.stderr.splitlines()[-1].startswith("rnn: error: ")
        assert done.stderr.count("rnn: error") == 1


def test_every_kind_has_a_report() -> None:
    assert {report.kind for report in REPORTS} == KINDS
    assert len({report.what for report in REPORTS}) == len(REPORTS)
