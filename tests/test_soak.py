"""A short run of benchmarks/reliability.py, which injects faults for an hour."""

import re
import subprocess
import sys
from pathlib import Path

from commands import ENVIRONMENT

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "reliability.py"


def test_nothing_is_lost_under_faults():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick"], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = {name: int(number) for name, number in re.findall(r"^\| (.+?) +\| +(\d+) \|$", done.stdout, re.MULTILINE)}
    assert numbers["losses"] == 0
    assert numbers["trainings compared with one that was never stopped"] == 1
    assert numbers["calls of a save that failed or killed"] > 50
    assert 0 < numbers["of these refused"] < numbers["mutated files loaded"] == 300
