"""The scripts of docs/scale.md run: job arrays task by task, and Dask with two processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ENVIRONMENT, SMALL, run

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")
ARRAYS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "__main__" in code]
TASKS = 3


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with the program, the corpora and a model."""
    (tmp_path / "corpora").symlink_to(ROOT / "corpora")
    (tmp_path / "rnn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rnn_cli "$@"\n')
    (tmp_path / "rnn").chmod(0o755)
    model = ["-m", "stars.safetensors", "--steps", 30]
    assert run("train", "corpora/stars.txt", *SMALL, *model, cwd=tmp_path).code == 0
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    """Return the environment of a script."""
    return {**ENVIRONMENT, "PATH": f"{place}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def run_array(script: str, place: Path) -> None:
    """Run all tasks of a job array, two at a time."""
    (place / "job.sh").write_text(script)
    assert subprocess.run(["bash", "-n", "job.sh"], cwd=place).returncode == 0
    for first in range(1, TASKS + 1, 2):
        numbers = range(first, min(first + 2, TASKS + 1))
        tasks = [
            {"SLURM_ARRAY_TASK_ID": str(n), "SLURM_ARRAY_TASK_COUNT": str(TASKS), "SLURM_CPUS_PER_TASK": "1"}
            for n in numbers
        ]
        started = [subprocess.Popen(["bash", "job.sh"], cwd=place, env=environment(place) | task) for task in tasks]
        assert [process.wait(timeout=120) for process in started] == [0] * len(tasks)


def test_an_array_of_parts_makes_the_whole(place: Path) -> None:
    (script,) = (script for script in ARRAYS if "--shard" in script)
    run_array(script, place)
    whole = run("evaluate", "corpora/dinosaurs.txt", "-m", "stars.safetensors", "--per-line", "-q", cwd=place)
    assert b"".join(path.read_bytes() for path in sorted(place.glob("part-*.tsv"))) == whole.stdout
    assert len(list(place.glob("part-*"))) == TASKS


def test_an_array_of_sweeps_shares_a_study(place: Path) -> None:
    (script,) = (script for script in ARRAYS if "rnn sweep" in script)
    run_array(script.replace("--steps 100 --hidden-size 32", "--steps 20 --hidden-size 8 --cell lstm"), place)
    found = json.loads(run("sweep", "--study", "array.study", "--json", cwd=place).text)
    assert found["trials"]["complete"] + found["trials"]["pruned"] == 8


def test_dask_gives_the_bits_of_the_command(place: Path) -> None:
    (script,) = SCRIPTS
    (place / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=place, env=environment(place), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows = run("evaluate", "corpora/dinosaurs.txt", "-m", "stars.safetensors", "--per-line", "-q", cwd=place).text
    bits = {line: float(number) for number, _, line in (row.split("\t") for row in rows.splitlines())}
    total, _, surprising = done.stdout.strip().partition(" bits, most surprising: ")
    assert float(total) == pytest.approx(sum(bits.values()), abs=0.1)
    assert surprising == max(bits, key=lambda line: bits[line])
